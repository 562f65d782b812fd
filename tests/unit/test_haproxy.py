"""Serve's HAProxy is started again as soon as it ends, unless Serve itself ended or replaced it."""

import asyncio
import inspect
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
import pytest

from actors.ray import haproxy
from tests.support.plain_system import run, until

WAITING = [sys.executable, "-c", "import signal; print(flush=True); signal.pause()"]


class PlainApi:
    """What HAProxyManager has of its HAProxy: here a process that does nothing."""

    def __init__(self) -> None:
        self._proc: asyncio.subprocess.Process | None = None
        self._old_procs: list[asyncio.subprocess.Process] = []
        self.strays: set[int] = set()
        self.failures: list[Exception] = []
        self.starts = 0

    async def start(self) -> None:
        if self.failures:
            raise self.failures.pop()
        self._proc = await asyncio.create_subprocess_exec(*WAITING, stdout=asyncio.subprocess.PIPE)
        assert self._proc.stdout is not None
        await self._proc.stdout.readline()
        self.starts += 1

    async def stop(self) -> None:
        assert self._proc is not None
        self._proc.kill()
        await self._proc.wait()
        self._proc = None

    def _is_our_haproxy(self, pid: int) -> bool:
        return pid in self.strays | {process.pid for process in (self._proc, *self._old_procs) if process}


class PlainManager:
    """Serve's actor for HAProxy, as far as it is relied on."""

    def __init__(self) -> None:
        self.event_loop = asyncio.get_running_loop()
        self._reload_lock = asyncio.Lock()
        self._haproxy = PlainApi()
        self._haproxy_start_task = self.event_loop.create_task(self._haproxy.start())


@asynccontextmanager
async def kept() -> AsyncIterator[tuple[PlainManager, PlainApi]]:
    manager = PlainManager()
    assert haproxy.keep(manager)
    await manager._haproxy_start_task
    try:
        yield manager, manager._haproxy
    finally:
        for process in (manager._haproxy._proc, *manager._haproxy._old_procs):
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()
        getattr(manager, "_infernet_keeper").cancel()  # noqa: B009 - set on an object that is not ours


def kill(api: PlainApi) -> None:
    assert api._proc is not None
    api._proc.kill()


def test_it_is_started_again_each_time_that_it_is_killed() -> None:
    async def scenario() -> None:
        async with kept() as (_, api):
            for starts in range(2, 5):
                kill(api)
                await until(lambda starts=starts: api.starts == starts)

    run(scenario())


def test_a_start_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haproxy, "_PAUSE_S", 0.001)

    async def scenario() -> None:
        async with kept() as (_, api):
            api.failures = [RuntimeError("the port is in use")] * 3
            kill(api)
            await until(lambda: api.starts == 2)

    run(scenario())


def test_one_that_serve_replaces_is_left_alone_and_the_new_one_is_kept() -> None:
    async def scenario() -> None:
        async with kept() as (manager, api):
            async with manager._reload_lock:
                old = api._proc
                assert old is not None
                api._old_procs.append(old)
                await api.start()
                old.kill()
                await old.wait()
                await asyncio.sleep(2 * haproxy._ENDED_S)
            kill(api)
            await until(lambda: api.starts == 3)

    run(scenario())


def test_one_that_serve_stops_stays_stopped() -> None:
    async def scenario() -> None:
        async with kept() as (manager, api):
            await api.stop()
            keeper: asyncio.Task[None] = getattr(manager, "_infernet_keeper")  # noqa: B009 - as above
            await keeper
            assert api.starts == 1

    run(scenario())


def test_asked_twice_it_is_kept_once() -> None:
    async def scenario() -> None:
        async with kept() as (manager, api):
            assert haproxy.keep(manager)
            kill(api)
            await until(lambda: api.starts == 2)
            await asyncio.sleep(2 * haproxy._ENDED_S)
            assert api.starts == 2

    run(scenario())


# The shell leaves it behind, as an actor that is killed does.
LEFT = f"{sys.executable} -c 'import signal; signal.pause()' > /dev/null & echo $!"


def test_what_a_killed_actor_left_lets_go_of_the_port() -> None:
    async def scenario() -> None:
        shell = await asyncio.create_subprocess_shell(LEFT, stdout=asyncio.subprocess.PIPE)
        left = psutil.Process(int((await shell.communicate())[0]))
        manager = PlainManager()
        manager._haproxy.strays = {left.pid}
        haproxy.keep(manager)
        await asyncio.to_thread(left.wait, 10)
        await until(lambda: manager._haproxy.starts == 1)
        assert manager._haproxy._proc is not None and manager._haproxy._proc.returncode is None
        await manager._haproxy.stop()

    run(scenario())


def test_another_kind_of_proxy_is_no_concern() -> None:
    assert not haproxy.keep(object())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_installed_serve_is_as_it_is_relied_on() -> None:
    from ray.serve._private import constants
    from ray.serve._private import haproxy as serves
    from ray.serve._private.haproxy import HAProxyApi
    from ray.serve._private.utils import format_actor_name

    # Not the class: Ray has put another in its place, whose source cannot be found.
    made = inspect.getsource(serves).partition("class HAProxyManager")[2]
    for attribute in ("self.event_loop =", "self._reload_lock =", "self._haproxy =", "self._haproxy_start_task ="):
        assert attribute in made
    for attribute in ("self._proc:", "self._old_procs:", "def _is_our_haproxy(self, pid", "async def start(self)"):
        assert attribute in inspect.getsource(HAProxyApi)
    assert "self._proc = None" in inspect.getsource(HAProxyApi.stop)
    assert format_actor_name(constants.SERVE_PROXY_NAME, "node").startswith(haproxy.PROXY_PREFIX)
    assert constants.SERVE_NAMESPACE == haproxy.SERVE_NAMESPACE
