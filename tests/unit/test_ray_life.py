"""Whether Ray lives is seen by whether its processes accept connections; what is done on it ends when it has gone."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from api.cli.run import bounded, ray_life
from api.cli.run.ray_life import RayProcesses, while_ray_lives
from cluster.errors import SystemLost
from tests.support.plain_system import run


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_life, "_LOOK_S", 0.001)


class Ray:
    """Both processes, as far as they can be seen."""

    def __init__(self, folder: Path) -> None:
        self.head = socket.create_server(("127.0.0.1", 0))
        self.raylet = socket.socket(socket.AF_UNIX)
        self.raylet.bind(str(folder / "raylet"))
        self.raylet.listen()
        self.processes = RayProcesses(self.head.getsockname(), folder / "raylet")


@pytest.fixture
def ray(tmp_path: Path) -> Iterator[Ray]:
    with ExitStack() as stack:
        ray = Ray(tmp_path)
        stack.enter_context(ray.head)
        stack.enter_context(ray.raylet)
        yield ray


def test_both_are_needed(ray: Ray) -> None:
    assert ray.processes.missing() is None
    ray.head.close()
    assert ray.processes.missing() == "its head"
    ray.raylet.close()
    assert ray.processes.missing() == "its raylet on this machine"


def test_what_is_done_meanwhile_ends_with_ray(ray: Ray) -> None:
    async def scenario() -> None:
        begun = asyncio.Event()
        cleaned = False

        async def work() -> None:
            nonlocal cleaned
            async with while_ray_lives(ray.processes):
                begun.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    await asyncio.sleep(0)
                    cleaned = True

        working = asyncio.create_task(work())
        await begun.wait()
        ray.raylet.close()
        with pytest.raises(SystemLost, match="Ray has gone: its raylet on this machine does not run any more"):
            await working
        assert cleaned

    run(scenario())


def test_an_end_of_another_kind_is_what_it_is(ray: Ray) -> None:
    async def scenario() -> None:
        async def work() -> None:
            async with while_ray_lives(ray.processes):
                await asyncio.Event().wait()

        working = asyncio.create_task(work())
        await asyncio.sleep(0)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
        async with while_ray_lives(ray.processes):
            pass
        with pytest.raises(ValueError, match="its own"):
            async with while_ray_lives(ray.processes):
                raise ValueError("its own")

    run(scenario())


def test_a_moment_without_an_answer_is_not_the_end(ray: Ray, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["its head", "its head", None] * 20)
    looked = asyncio.Event()

    def missing(_: RayProcesses) -> str | None:
        answer = next(answers, "done")
        if answer == "done":
            looked.set()
            return None
        return answer

    monkeypatch.setattr(RayProcesses, "missing", missing)

    async def scenario() -> None:
        async with while_ray_lives(ray.processes):
            await looked.wait()

    run(scenario())


def test_a_call_that_blocks_is_waited_for_so_long_and_no_longer() -> None:
    async def scenario() -> None:
        released = asyncio.Event()
        loop = asyncio.get_running_loop()
        calls: list[str] = []
        await bounded.within(10.0, calls.append, "made")
        assert calls == ["made"]

        def wait_for_ever() -> None:
            asyncio.run_coroutine_threadsafe(released.wait(), loop).result()

        with pytest.raises(TimeoutError):
            await bounded.within(0.01, wait_for_ever)
        released.set()

        def fail() -> None:
            raise RuntimeError("refused")

        with pytest.raises(RuntimeError, match="refused"):
            await bounded.within(10.0, fail)

    run(scenario())
