"""What the directory says of every actor is true, and starting one imports nothing that it is made of."""

import inspect
import subprocess
import sys
from importlib import import_module
from typing import Any

import pytest

from actors import directory
from actors.ray import remote
from actors.ray.kind import Kind
from actors.ray.remote import Remote
from actors.telemetry import origins
from cluster.ids import EngineId
from cluster.messages.origin import Origin
from tests.support.plain_system import run

KINDS = {name: kind for name, kind in vars(directory).items() if isinstance(kind, Kind)}

SCRIPT = """
import sys
from actors import directory
for kind in (directory.LEDGER, directory.JOURNAL, directory.SCHEDULER, directory.NODE, directory.ENGINE):
    kind.actor_class()
    kind.at("somebody")
modules = {"actors.ledger", "actors.journal", "actors.scheduler", "actors.node", "actors.engine", "sqlalchemy"}
print(sorted(modules & set(sys.modules)))
"""


def test_who_starts_and_calls_actors_does_not_import_them() -> None:
    """The Supervisor does both, for all of them."""
    told = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_an_engine_is_looked_up_once_however_often_it_is_called() -> None:
    assert directory.engine(EngineId("m/1")) is directory.engine(EngineId("m/1"))
    assert directory.engine(EngineId("m/1")) is not directory.engine(EngineId("m/2"))


def public_methods(subject: type) -> dict[str, Any]:
    members = inspect.getmembers(subject, inspect.isfunction)
    return {name: method for name, method in members if not name.startswith("_")}


def test_every_kind_is_looked_at() -> None:
    core = {"LEDGER", "RATE_LIMITER", "JOURNAL", "SCHEDULER", "SUPERVISOR", "NODE", "COURIER"}
    assert set(KINDS) == core | {"ENGINE", "ENGINE_PART"}


@pytest.mark.parametrize("name", KINDS)
def test_every_public_method_of_an_actor_can_be_called_from_afar(name: str) -> None:
    """A method that is not async, or a stream that is not declared, would fail at its first call only."""
    kind = KINDS[name]
    module, _, class_name = kind.path.partition(":")
    methods = public_methods(getattr(import_module(module), class_name))
    streams = {name for name, method in methods.items() if inspect.isasyncgenfunction(method)}
    assert streams == kind.streams
    assert [name for name, method in methods.items() if not inspect.iscoroutinefunction(method)] == sorted(streams)
    assert {"start", "stop"} <= methods.keys()


@pytest.mark.parametrize("name", KINDS)
def test_an_actors_class_is_what_its_maker_makes(name: str) -> None:
    kind = KINDS[name]
    class_name = kind.path.partition(":")[2]
    assert kind.make.__annotations__["return"].strip('"') == class_name


class PlainMethod:
    """A method of a Ray handle: notes with what options it is called."""

    def __init__(self, ray_method: str, called: list[tuple[str, dict[str, Any], tuple[object, ...]]]) -> None:
        self._ray_method = ray_method
        self._called = called
        self._options: dict[str, Any] = {}

    def options(self, **options: Any) -> "PlainMethod":
        method = PlainMethod(self._ray_method, self._called)
        method._options = options
        return method

    async def remote(self, *args: object) -> str:
        self._called.append((self._ray_method, self._options, args))
        return "answer"


def test_ray_is_told_which_method_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[str, dict[str, Any], tuple[object, ...]]] = []
    found: list[str] = []

    class Handle:
        call = PlainMethod("call", called)

    async def find(name: str, lookup_s: float) -> Handle:
        found.append(name)
        return Handle()

    monkeypatch.setattr(remote, "_find", find)

    async def scenario() -> None:
        engine = Remote("engine/m/1", "Engine", frozenset({"frames"}), 0, 0.0)
        for _ in range(2):
            assert await engine.describe() == "answer"
        await engine.confirm(["a job"])

    run(scenario())
    assert [(options["name"], args) for _, options, args in called] == [
        ("Engine.describe", ("describe",)),
        ("Engine.describe", ("describe",)),
        ("Engine.confirm", ("confirm", ["a job"])),
    ]
    assert {(ray_method, options["max_task_retries"]) for ray_method, options, _ in called} == {("call", 0)}
    assert found == ["engine/m/1"]


def test_a_traced_call_brings_its_request_and_becomes_a_span_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[str, dict[str, Any], tuple[object, ...]]] = []

    class Handle:
        call = PlainMethod("call", called)
        traced = PlainMethod("traced", called)

    async def find(name: str, lookup_s: float) -> Handle:
        return Handle()

    monkeypatch.setattr(remote, "_find", find)
    place = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    async def scenario() -> None:
        engine = Remote("engine/m/1", "Engine", frozenset(), 0, 0.0)
        with origins.within("a request", place):
            assert await engine.describe() == "answer"
        with origins.within("a request", ""):
            assert await engine.describe() == "answer"

    run(scenario())
    (traced, _, (origin, *args)), untraced = called
    assert (traced, args) == ("traced", ["describe"])
    assert isinstance(origin, Origin)
    assert (origin.request_id, origin.trace[:36]) == ("a request", place[:36])
    assert origin.trace != place, "the call has a span of its own"
    assert (untraced[0], untraced[2]) == ("call", ("describe",))
