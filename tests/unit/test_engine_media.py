"""An engine's jobs that need pictures: they wait for these, and nobody else does."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from msgspec.structs import replace

from actors.backends.base import NO_MEDIA, Media
from actors.engine import Engine
from cluster.errors import DatabaseUnavailable
from cluster.ids import EngineId, NodeId
from cluster.messages.media import MediumHash, medium
from cluster.messages.work import Dispatch, Failed, Form
from tests.support.plain_system import run, settled, until
from tests.unit.test_engine import Reading, ScriptedBackend, dispatch

RED = medium(b"red")


class SeeingBackend(ScriptedBackend):
    """Notes what it was given with each dispatch."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[tuple[str, int], Media] = {}

    def start(self, dispatches: Sequence[Dispatch], media: Media = NO_MEDIA) -> None:
        super().start(dispatches, media)
        self.seen |= {(each.job.id, each.attempt): media for each in dispatches}


class Store:
    """A Ledger that answers when the test says so."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers = asyncio.Event()
        self.away = False
        self.has: dict[MediumHash, bytes] = {RED.hash: RED.content}

    async def media(self, hashes: Sequence[MediumHash]) -> Sequence[bytes | None]:
        self.asked += 1
        await self.answers.wait()
        if self.away:
            raise DatabaseUnavailable("away")
        return [self.has.get(each) for each in hashes]


def seeing(number: int = 1, attempt: int = 1) -> Dispatch:
    plain = dispatch(number, attempt)
    return replace(plain, job=replace(plain.job, messages=(), form=Form("chat", "{}", media=(RED.hash,))))


Scenario = Callable[[Engine, SeeingBackend, Store], Awaitable[None]]


def with_engine(scenario: Scenario) -> None:
    async def loaded() -> None:
        backend, store = SeeingBackend(), Store()
        engine = Engine(EngineId("sim/0"), "sim", NodeId("node_0"), backend, 0.0, ask_for_media=store.media)
        await engine.load()
        try:
            await scenario(engine, backend, store)
        finally:
            await engine.stop()

    run(loaded())


def test_a_job_waits_for_its_media_and_others_do_not() -> None:
    async def scenario(engine: Engine, backend: SeeingBackend, store: Store) -> None:
        await engine.generate([seeing(1), dispatch(2)])
        await settled()
        assert backend.seen == {("job_2", 1): NO_MEDIA}
        report = await engine.describe()
        assert set(report.running) == {("job_1", 1), ("job_2", 1)}
        assert report.generating == 1  # nothing is expected of the backend for what it does not have
        store.answers.set()
        await until(lambda: ("job_1", 1) in backend.seen)
        assert backend.seen["job_1", 1] == {RED.hash: RED.content}
        assert (await engine.describe()).generating == 2

    with_engine(scenario)


def test_one_that_is_stopped_while_it_waits_never_begins() -> None:
    async def scenario(engine: Engine, backend: SeeingBackend, store: Store) -> None:
        await engine.generate([seeing()])
        await settled()
        await engine.abort([("job_1", 1)])
        store.answers.set()
        await settled()
        assert backend.started == []
        assert (await engine.describe()).stopped == (("job_1", 1),)

    with_engine(scenario)


def test_a_newer_attempt_takes_the_place_of_one_that_waits() -> None:
    async def scenario(engine: Engine, backend: SeeingBackend, store: Store) -> None:
        await engine.generate([seeing(attempt=1)])
        await settled()
        await engine.generate([seeing(attempt=2)])
        store.answers.set()
        await until(lambda: backend.started)
        await settled()
        assert [each.attempt for each in backend.started] == [2]

    with_engine(scenario)


def test_while_the_ledger_is_away_it_is_asked_again() -> None:
    async def scenario(engine: Engine, backend: SeeingBackend, store: Store) -> None:
        store.away = True
        store.answers.set()
        await engine.generate([seeing()])
        await until(lambda: store.asked)
        store.away = False
        await until(lambda: backend.started)

    with_engine(scenario)


def test_a_job_whose_picture_is_gone_or_another_fails() -> None:
    async def scenario(engine: Engine, backend: SeeingBackend, store: Store) -> None:
        store.has = {RED.hash: b"blue"}
        store.answers.set()
        await engine.generate([seeing()])
        reading = Reading(engine)
        await reading.until_ended("job_1")
        end = reading.logs["job_1"].end
        assert isinstance(end, Failed)
        assert (end.error, end.error_message) == (
            "engine_error",
            "A picture or a sound of this job is not there any more",
        )
        assert backend.started == []

    with_engine(scenario)
