"""What a start does with what runs already."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from actors.ray import lifecycle, seats, secrets
from actors.wire.calls import Unreachable
from cluster.catalogue import Model
from cluster.release import Described, Release
from cluster.settings.schema import Settings
from cluster.store.failures import DatabaseUnavailable
from tests.support.plain_system import run

URL = "postgresql+psycopg://infernet:hunter2@db/infernet"
WANTED = Release(Settings(database=URL), made_ms=200)
OTHER_MODELS = (Model("sim", backend="simulated"),)


class PlainSupervisor:
    """The kind, and the actor: what runs, or why it does not say so."""

    def __init__(self, running: Described | Exception | None) -> None:
        self.running = running
        self.done: list[str] = []
        self.started: list[tuple[Any, ...]] = []

    def actor_id(self) -> str | None:
        return None if self.running is None else "an id"

    def at(self) -> "PlainSupervisor":
        return self

    async def release(self) -> Described:
        assert self.running is not None
        if isinstance(self.running, Exception):
            raise self.running
        return self.running

    def kill(self) -> None:
        self.done.append("kill the Supervisor")

    def start(self, key: str, *args: Any, **options: Any) -> None:
        self.done.append("start")
        self.started.append(args)


class Kept:
    """The store of Ray's head."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}

    def put(self, key: bytes, value: bytes, overwrite: bool = True, *, namespace: bytes) -> bool:
        there = key in self.values
        if overwrite or not there:
            self.values[key] = value
        return there

    def get(self, key: bytes, *, namespace: bytes) -> bytes | None:
        return self.values.get(key)


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    kept = Kept()
    monkeypatch.setattr(secrets.internal_kv, "_internal_kv_put", kept.put)
    monkeypatch.setattr(secrets.internal_kv, "_internal_kv_get", kept.get)
    return kept


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch) -> Callable[..., PlainSupervisor]:
    def begin(running: Described | Exception | None, key: str | None = None) -> PlainSupervisor:
        supervisor = PlainSupervisor(running)

        async def quiesce(within_s: float) -> None:
            supervisor.done.append("drain")

        async def stop() -> None:
            supervisor.done.append("stop all")

        monkeypatch.setattr(lifecycle, "SUPERVISOR", supervisor)
        monkeypatch.setattr(lifecycle, "_head_node", lambda: "0" * 56)
        monkeypatch.setattr(lifecycle, "quiesce", quiesce)
        monkeypatch.setattr(lifecycle, "stop", stop)
        run(lifecycle.begin(WANTED, key))
        return supervisor

    return begin


def running(**fields: Any) -> Described:
    sealed, _ = lifecycle.sealed(WANTED, None)
    return replace(sealed, **({"made_ms": 100} | fields)).described()


def test_where_nothing_runs_it_is_started(begin: Callable[..., PlainSupervisor]) -> None:
    assert begin(None).done == ["start"]


def test_what_is_wanted_already_is_left_alone(begin: Callable[..., PlainSupervisor]) -> None:
    assert begin(running()).done == ["start"]


def test_other_settings_replace_only_who_sees_to_them(begin: Callable[..., PlainSupervisor]) -> None:
    other = running(settings=Settings(database=URL, models=OTHER_MODELS))
    assert begin(other).done == ["kill the Supervisor", "start"]


def test_another_version_is_drained_and_stopped(begin: Callable[..., PlainSupervisor]) -> None:
    assert begin(running(version="0.0.1, protocol 1")).done == ["drain", "stop all", "start"]


def test_one_that_does_not_even_know_the_question_is_another_version(begin: Callable[..., PlainSupervisor]) -> None:
    assert begin(AttributeError("'Supervisor' object has no attribute 'release'")).done == [
        "drain",
        "stop all",
        "start",
    ]


def test_a_replica_of_before_does_not_bring_back_its_settings(begin: Callable[..., PlainSupervisor]) -> None:
    later = running(settings=Settings(database=URL, models=OTHER_MODELS), made_ms=300)
    assert begin(later).done == ["start"]


def test_one_that_does_not_answer_is_left_to_others(begin: Callable[..., PlainSupervisor]) -> None:
    assert begin(Unreachable("supervisor cannot be reached")).done == ["start"]


def test_arguments_hold_names_of_secrets_only(begin: Callable[..., PlainSupervisor], kept: Kept) -> None:
    (arguments,) = begin(None, "inft_the_admins_key").started
    assert "hunter2" not in repr(arguments)
    assert "inft_the_admins_key" not in repr(arguments)
    release, key = arguments
    assert secrets.recall(release.settings.database) == URL
    assert secrets.recall(key) == "inft_the_admins_key"


def test_stopping_goes_on_whoever_does_not_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    class Kind:
        def __init__(self, name: str, failure: Exception | None = None, hangs: bool = False) -> None:
            self._name, self._failure, self._hangs = name, failure, hangs

        def at(self, key: str = "") -> "Kind":
            return self

        def existing(self) -> list[str]:
            return ["a"]

        def kill(self, key: str = "") -> None:
            done.append(f"kill {self._name}")

        async def stop(self) -> None:
            if self._hangs:
                await asyncio.Event().wait()
            if self._failure is not None:
                raise self._failure
            done.append(f"stop {self._name}")

    for name, failure, hangs in (
        ("SUPERVISOR", None, False),
        ("NODE", None, True),
        ("RATE_LIMITER", DatabaseUnavailable("away"), False),
        ("LEDGER", Unreachable("ledger has not started yet"), False),
        ("JOURNAL", None, False),
        ("SCHEDULER", None, False),
        ("COURIER", None, False),
    ):
        monkeypatch.setattr(lifecycle, name, Kind(name, failure, hangs))
    monkeypatch.setattr(lifecycle, "_STOP_S", 0.01)
    monkeypatch.setattr(seats, "remove_all", lambda: done.append("remove seats"))
    run(lifecycle.stop())
    killed = ("SUPERVISOR", "NODE", "JOURNAL", "SCHEDULER", "RATE_LIMITER", "COURIER", "LEDGER")
    assert done == [*(f"kill {name}" for name in killed), "remove seats"]


def test_a_name_is_the_same_on_one_cluster_and_another_on_the_next(kept: Kept) -> None:
    name = secrets.keep(URL)
    assert secrets.keep(URL) == name == secrets.keep(name)
    assert secrets.keep(f"{URL}2") != name
    kept.values.clear()
    assert secrets.keep(URL) != name


def test_a_secret_that_the_cluster_has_lost_is_not_taken_for_an_empty_one(kept: Kept) -> None:
    name = secrets.keep(URL)
    kept.values.clear()
    with pytest.raises(KeyError):
        secrets.recall(name)
