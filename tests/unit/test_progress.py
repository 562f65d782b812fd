"""What `infernet up` shows while it serves."""

import asyncio
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from actors.machine import logs
from actors.wire.calls import Unreachable
from api.cli.render import console
from api.cli.run import progress
from cluster.messages.machines import ModelState, ModelView
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


class Supervisor:
    """Answers every second time, as one does that is being started."""

    def __init__(self) -> None:
        self.counts = {"ledger": 0, "journal": 1}
        self.asked = 0

    def at(self) -> "Supervisor":
        return self

    async def restarts(self) -> Mapping[str, int]:
        self.asked += 1
        if self.asked % 2:
            raise Unreachable("supervisor died")
        return self.counts


def test_what_is_only_shown_is_no_reason_to_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines: list[str] = []
    scheduler = Scheduler()
    monkeypatch.setattr(progress, "SCHEDULER", scheduler)
    monkeypatch.setattr(progress, "SUPERVISOR", supervisor := Supervisor())
    monkeypatch.setattr(progress, "_LOOK_S", 0.001)
    monkeypatch.setenv(logs.VARIABLE, str(tmp_path / "infernet.log"))
    monkeypatch.setattr(progress.console, "print", lines.append)

    async def scenario() -> None:
        telling = asyncio.create_task(progress.tell_news())
        await until(lambda: scheduler.asked > 3)
        scheduler.away = False
        await until(lambda: len(lines) > 1 and supervisor.asked > 3)
        supervisor.counts = {"ledger": 2, "journal": 1}
        await until(lambda: len(lines) > 2)
        assert not telling.done()
        telling.cancel()

    run(scenario())
    assert [line.partition(" (")[0] for line in lines] == [
        "The models' states are not known: scheduler died; asking again",
        "Model sim: ready",
        "The ledger has ended, and was started again: 2 by now",
    ]


def test_names_are_shown_as_they_are() -> None:
    with console.capture() as captured:
        console.print("Model sim:new: ready, Model big[x]: failed")
    assert captured.get() == "Model sim:new: ready, Model big[x]: failed\n"


def test_what_loads_is_shown_on_a_terminal_until_it_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    terminal = io.StringIO()
    shown = Console(file=terminal, force_terminal=True, width=100)
    scheduler = Loads()
    monkeypatch.setattr(progress, "SCHEDULER", scheduler)
    monkeypatch.setattr(progress, "SUPERVISOR", Supervisor())
    monkeypatch.setattr(progress, "_LOOK_S", 0.001)
    monkeypatch.setattr(progress, "console", shown)
    monkeypatch.setenv(logs.VARIABLE, str(tmp_path / "infernet.log"))

    async def scenario() -> None:
        telling = asyncio.create_task(progress.tell_news())
        await until(lambda: "big: downloading the weights: 1.0 of 2.0 GiB" in terminal.getvalue())
        scheduler.state = "ready"
        await until(lambda: "Model big: ready" in terminal.getvalue())
        # The cursor is there again.
        await until(lambda: terminal.getvalue().rfind("\x1b[?25h") > terminal.getvalue().rfind("\x1b[?25l"))
        telling.cancel()

    run(scenario())


class Loads:
    """One model, which loads until it is ready."""

    def __init__(self) -> None:
        self.state: ModelState = "starting"

    def at(self) -> "Loads":
        return self

    async def models(self) -> Sequence[ModelView]:
        return [
            ModelView(
                "big",
                self.state,
                fits=True,
                message="",
                nodes=0,
                replicas=0,
                queued=0,
                context_length=0,
                wanted=1,
                scaling="",
                starting="downloading the weights: 1.0 of 2.0 GiB",
            )
        ]
