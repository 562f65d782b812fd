"""What `infernet up` shows while it serves."""

import asyncio
from collections.abc import Sequence

import pytest

from actors.wire.calls import Unreachable
from api.cli.render import console
from api.cli.run import progress
from cluster.messages.machines import ModelView
from tests.support.plain_system import run, until


class Scheduler:
    """Answers once it is no longer away."""

    def __init__(self) -> None:
        self.away = True
        self.asked = 0

    def at(self) -> "Scheduler":
        return self

    async def models(self) -> Sequence[ModelView]:
        self.asked += 1
        if self.away:
            raise Unreachable("scheduler died")
        return [
            ModelView(
                "sim",
                "ready",
                fits=True,
                message="",
                nodes=1,
                replicas=1,
                queued=0,
                context_length=100,
                wanted=1,
                scaling="",
            )
        ]


def test_what_is_only_shown_is_no_reason_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    scheduler = Scheduler()
    monkeypatch.setattr(progress, "SCHEDULER", scheduler)
    monkeypatch.setattr(progress, "_LOOK_S", 0.001)
    monkeypatch.setattr(progress.console, "print", lines.append)

    async def scenario() -> None:
        telling = asyncio.create_task(progress.tell_models())
        await until(lambda: scheduler.asked > 3)
        scheduler.away = False
        await until(lambda: len(lines) > 1)
        assert not telling.done()
        telling.cancel()

    run(scenario())
    assert [line.partition(" (")[0] for line in lines] == [
        "The models' states are not known: scheduler died; asking again",
        "Model sim: ready",
    ]


def test_names_are_shown_as_they_are() -> None:
    with console.capture() as captured:
        console.print("Model sim:new: ready, Model big[x]: failed")
    assert captured.get() == "Model sim:new: ready, Model big[x]: failed\n"
