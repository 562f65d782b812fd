"""What the Supervisor does to the cluster: actors that are made of other settings are ended, and no others."""

import logging
from typing import Any

import pytest

from actors.ray import autoscaler, machines, seats
from actors.ray import world as world_module
from actors.ray.autoscaler import Outlook
from actors.ray.remote import Pulse
from actors.ray.seats import Group
from actors.ray.world import RayWorld
from cluster.catalogue import Model
from cluster.ids import EngineId, node_id
from cluster.release import VERSION, fingerprint
from cluster.settings.schema import Settings
from cluster.settings.sections.webhooks import Webhooks
from tests.support.plain_system import run

MACHINE = "a" * 56
MODEL = Model("sim:a", backend="simulated", engine={"token_s": 0.1})
SETTINGS = Settings(database="kept:1", models=(MODEL,))


class PlainKind:
    """Actors that say what they are made of."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.running: dict[str, tuple[str, str]] = {}
        self.killed: list[str] = []

    def full_name(self, key: str = "") -> str:
        return f"{self.name}/{key}" if key else self.name

    def start(self, key: str, *args: object, **options: object) -> None:
        self.running.setdefault(key, (VERSION, self.made_of(*args)))

    def made_of(self, *args: object) -> str:
        return fingerprint(*args)

    def actor_id(self, key: str = "") -> str | None:
        return "an id" if key in self.running else None

    def existing(self) -> list[str]:
        return list(self.running)

    def kill(self, key: str = "") -> None:
        self.running.pop(key)
        self.killed.append(key)

    def remote(self, key: str = "") -> "PlainRemote":
        return PlainRemote(self, key)


class PlainRemote:
    def __init__(self, kind: PlainKind, key: str) -> None:
        self._kind = kind
        self._key = key

    async def pulse(self) -> Pulse:
        return Pulse(1, 1, *self._kind.running[self._key])


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> dict[str, PlainKind]:
    kinds = {name: PlainKind(name) for name in ("LEDGER", "RATE_LIMITER", "JOURNAL", "SCHEDULER", "COURIER", "NODE")}
    for name, kind in kinds.items():
        monkeypatch.setattr(world_module, name, kind)
    monkeypatch.setattr(world_module, "_this_machine", lambda: MACHINE)
    monkeypatch.setattr(machines, "alive", lambda: [machine(MACHINE, **{machines.HEAD: 1.0})])
    monkeypatch.setattr(autoscaler, "outlook", lambda: Outlook(brings_machines=False))
    monkeypatch.setattr(seats, "groups", dict)
    return kinds


def machine(ray_id: str, labels: dict[str, str] | None = None, **resources: float) -> dict[str, Any]:
    return {"NodeID": ray_id, "Alive": True, "Resources": {"CPU": 2.0, **resources}, "Labels": labels or {}}


def started(settings: Settings = SETTINGS) -> RayWorld:
    world = RayWorld(settings, None)
    world.start_core()
    for machine in world.machines() - world.machines_with_node():
        world.start_node(machine)
    return world


def ended(kinds: dict[str, PlainKind]) -> list[str]:
    return [name for name, kind in kinds.items() if kind.killed]


def test_what_is_as_wanted_stays(kinds: dict[str, PlainKind]) -> None:
    world = started()
    world.end_outdated()
    run(world.hear_all())
    world.end_outdated()
    assert ended(kinds) == []


@pytest.mark.parametrize(
    ("settings", "outdated"),
    [
        (Settings(database="kept:1", models=()), ["SCHEDULER", "NODE"]),
        (Settings(database="kept:2", models=(MODEL,)), ["LEDGER"]),
        (Settings(database="kept:1", models=(MODEL,), retention_days=30), ["LEDGER"]),
        (Settings(database="kept:1", models=(MODEL,), stream_interval_ms=50), ["JOURNAL", "NODE"]),
        (Settings(database="kept:1", models=(MODEL,), webhooks=Webhooks(timeout_s=5)), ["COURIER"]),
        (Settings(database="kept:1", models=(MODEL,), job_timeout_s=5), []),
    ],
    ids=[
        "other models",
        "another database",
        "another retention",
        "another interval",
        "other webhooks",
        "what only the ingress uses",
    ],
)
def test_what_is_made_of_other_settings_begins_anew(
    settings: Settings, outdated: list[str], kinds: dict[str, PlainKind]
) -> None:
    started()
    world = started(settings)
    run(world.hear_all())
    world.end_outdated()
    assert ended(kinds) == outdated
    begun_anew = started(settings)
    run(begun_anew.hear_all())
    begun_anew.end_outdated()
    assert all(len(kind.killed) <= 1 for kind in kinds.values())


def test_one_of_another_version_is_told_of_once_and_left(
    kinds: dict[str, PlainKind], caplog: pytest.LogCaptureFixture
) -> None:
    world = started()
    kinds["JOURNAL"].running[""] = ("0.0.1, protocol 1", "of something else")
    run(world.hear_all())
    with caplog.at_level(logging.ERROR):
        world.end_outdated()
        world.end_outdated()
    assert ended(kinds) == []
    assert len(caplog.messages) == 1
    assert "JOURNAL is of version 0.0.1, protocol 1" in caplog.messages[0]


def test_a_machine_has_one_node(kinds: dict[str, PlainKind]) -> None:
    world = started()
    assert world.machines() == world.machines_with_node() == {MACHINE}
    assert list(kinds["NODE"].running) == [node_id(MACHINE)]


def test_where_machines_come_and_go_only_those_that_are_needed_have_a_node(
    kinds: dict[str, PlainKind], monkeypatch: pytest.MonkeyPatch
) -> None:
    head, control = (
        machine("a" * 56, **{machines.HEAD: 1.0}),
        machine("b" * 56, {machines.CONTROL_LABEL: machines.CONTROL_VALUE}),
    )
    seated, idle = machine("c" * 56, GPU=1.0), machine("d" * 56, GPU=1.0)
    groups = {
        EngineId("m/0"): Group("1", EngineId("m/0"), "c" * 56),
        EngineId("m/1"): Group("2", EngineId("m/1"), None),
    }
    monkeypatch.setattr(machines, "alive", lambda: [head, control, seated, idle])
    monkeypatch.setattr(seats, "groups", lambda: groups)
    world = RayWorld(SETTINGS, None)
    assert len(world.machines()) == 4
    monkeypatch.setattr(autoscaler, "outlook", lambda: Outlook(brings_machines=True))
    assert len(world.machines()) == 4  # what was told a moment ago
    world = RayWorld(SETTINGS, None)
    assert world.machines() == {"a" * 56, "b" * 56, "c" * 56}
    for each in world.machines():
        world.start_node(each)
    groups[EngineId("m/2")] = Group("3", EngineId("m/2"), "c" * 56, further=("d" * 56,))
    assert world.machines() == {"a" * 56, "b" * 56, "c" * 56, "d" * 56}
    del groups[EngineId("m/0")], groups[EngineId("m/2")]
    assert world.machines_with_node() - world.machines() == {"c" * 56}
    world.end_node("c" * 56)
    assert world.machines_with_node() == {"a" * 56, "b" * 56}
