"""The Engine: keeps what it generates until the Journal has it, and tells all of it to each new reader."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from concurrent.futures import Future

import pytest
from msgspec.structs import replace

from actors.backends.base import NO_MEDIA, Adapted, Backend, BackendDied, Chunk, Loaded, Media, Sink
from actors.backends.prompts.by_length import prompt_tokens
from actors.backends.simulated import SimulatedBackend, simulated_text
from actors.engine import Engine
from actors.wire.frames import decode
from cluster.catalogue import Adapter
from cluster.ids import AccountId, EngineId, JobId, KeyId, NodeId
from cluster.messages.machines import AdapterRefusal, EngineFigures, FailedAttempt
from cluster.messages.money import Usage
from cluster.messages.work import ChatMessage, Dispatch, Failed, Finished, Job, Output, Sampling
from cluster.text.token_log import TokenLog
from tests.support.plain_system import run, settled

MESSAGES = (ChatMessage("user", "Größe?"),)
PROMPT = prompt_tokens(MESSAGES)
NOTHING = Output()
END = Finished(Usage(3, 1), "stop")


def dispatch(number: int = 1, attempt: int = 1, resume: Output = NOTHING, max_tokens: int = 30) -> Dispatch:
    job = Job(
        id=JobId(f"job_{number}"),
        account_id=AccountId("acct"),
        key_id=KeyId("key"),
        model="sim",
        messages=MESSAGES,
        sampling=Sampling(max_tokens=max_tokens),
        created_ms=0,
        deadline_ms=0,
    )
    return Dispatch(job, attempt, resume)


def answer(max_tokens: int = 30) -> str:
    return simulated_text(MESSAGES, None, max_tokens)


class ScriptedBackend:
    """Generates what the test says, when it says so."""

    def __init__(self) -> None:
        self.loads = 0
        self.started: list[Dispatch] = []
        self.aborted: list[tuple[str, int]] = []
        self.closed = False
        self.steps = 0
        self.phase = ""
        self.adapters: tuple[str, ...] = ()
        self.figures: EngineFigures | None = None
        self.adapted = Adapted()
        self.adapting: Future[None] = Future()

    def adapt(self, adapters: Sequence[Adapter]) -> "Future[None]":
        self.told = adapters
        return self.adapting

    def load(self, sink: Sink, died: Callable[[BackendDied], None]) -> Loaded:
        self.loads += 1
        self.sink, self.died = sink, died
        return Loaded(slots=8, context_length=64)

    def start(self, dispatches: Sequence[Dispatch], media: Media = NO_MEDIA) -> None:
        self.started.extend(dispatches)

    def abort(self, jobs: Sequence[tuple[str, int]]) -> None:
        self.aborted.extend(jobs)

    def close(self) -> None:
        self.closed = True

    async def says(self, *chunks: Chunk) -> None:
        self.sink(chunks)
        await settled()


def with_engine(backend: Backend, scenario: Callable[[Engine], Awaitable[None]]) -> None:
    async def loaded() -> None:
        engine = Engine(EngineId("sim/0"), "sim", NodeId("node_0"), backend, 0.0)
        await engine.load()
        try:
            await scenario(engine)
        finally:
            await engine.stop()

    run(loaded())


def test_an_engine_tells_what_it_does_only_while_it_starts() -> None:
    async def scenario() -> None:
        backend = ScriptedBackend()
        backend.phase = "importing"
        engine = Engine(EngineId("sim/0"), "sim", NodeId("node_0"), backend, 0.0)
        assert (await engine.describe()).phase == "importing"
        assert (await engine.load()).phase == ""

    run(scenario())


class Reading:
    """What one reader of an engine's frames has been told, by job."""

    def __init__(self, engine: Engine) -> None:
        self.stream: AsyncGenerator[bytes, None] = engine.frames()
        self.logs: dict[str, TokenLog] = {}
        self.attempts: dict[str, int] = {}
        self.prompts: dict[str, int] = {}

    async def until_ended(self, *job_ids: str) -> None:
        while not all(self.ended(job_id) for job_id in job_ids):
            await self.frame()

    async def frame(self) -> None:
        async with asyncio.timeout(5):
            frame = await anext(self.stream)
        for delta in decode(frame):
            log = self.logs.setdefault(delta.job_id, TokenLog())
            log.append_at(delta.offset, delta.text, delta.token_offset, delta.token_ids, delta.ends)
            self.attempts[delta.job_id] = delta.attempt
            self.prompts[delta.job_id] = delta.prompt_tokens or self.prompts.get(delta.job_id, 0)
            if delta.end is not None:
                log.close(delta.end)

    def ended(self, job_id: str) -> bool:
        return job_id in self.logs and self.logs[job_id].end is not None

    def text(self, job_id: str) -> str:
        return self.logs[job_id].text


@pytest.fixture
def simulated() -> SimulatedBackend:
    return SimulatedBackend({"first_token_s": 0.0, "token_s": 0.0005, "batch_slots": 4})


def test_frames_are_exactly_the_text(simulated: SimulatedBackend) -> None:
    async def scenario(engine: Engine) -> None:
        reading = Reading(engine)
        await engine.generate([dispatch(1), dispatch(2, max_tokens=7)])
        await reading.until_ended("job_1", "job_2")
        assert reading.text("job_1") == answer()
        assert reading.text("job_2") == answer(7)
        assert len(reading.logs["job_1"].token_ids) == 30
        assert reading.logs["job_1"].end == Finished(Usage(PROMPT, 30), "length")
        assert reading.prompts == {"job_1": PROMPT, "job_2": PROMPT}

    with_engine(simulated, scenario)


def test_a_new_reader_is_told_everything_again(simulated: SimulatedBackend) -> None:
    async def scenario(engine: Engine) -> None:
        first = Reading(engine)
        await engine.generate([dispatch(1), dispatch(2, max_tokens=60)])
        await first.until_ended("job_1")
        second = Reading(engine)
        await second.until_ended("job_1", "job_2")
        assert second.text("job_1") == answer()
        assert second.text("job_2") == answer(60)
        assert second.logs["job_1"].end == first.logs["job_1"].end

    with_engine(simulated, scenario)


def test_an_unconfirmed_job_is_told_of_once_it_is_confirmed() -> None:
    backend = ScriptedBackend()

    async def scenario(engine: Engine) -> None:
        reading = Reading(engine)
        await engine.generate([replace(dispatch(1), confirmed=False), dispatch(2)])
        assert [started.job.id for started in backend.started] == ["job_1", "job_2"]
        backend.sink([Chunk("job_1", 1, "early", (1,), 3, END), Chunk("job_2", 1, "word", (1,), 3, END)])
        await reading.until_ended("job_2")
        late = Reading(engine)
        await late.until_ended("job_2")
        assert "job_1" not in reading.logs | late.logs
        assert ("job_1", 1) in (await engine.describe()).running
        await engine.confirm([("job_1", 2), ("job_1", 1), ("job_1", 1), ("unknown", 1)])
        await late.until_ended("job_1")
        assert late.text("job_1") == "early"

    with_engine(backend, scenario)


def test_a_dispatch_of_what_has_begun_confirms_it() -> None:
    backend = ScriptedBackend()

    async def scenario(engine: Engine) -> None:
        reading = Reading(engine)
        await engine.generate([replace(dispatch(1), confirmed=False)])
        backend.sink([Chunk("job_1", 1, "early", (1,), 3, END)])
        await engine.generate([dispatch(1)])
        await reading.until_ended("job_1")
        assert reading.text("job_1") == "early"
        assert len(backend.started) == 1

    with_engine(backend, scenario)


def test_a_resumed_job_tells_the_rest_and_to_a_new_reader_the_whole(simulated: SimulatedBackend) -> None:
    async def scenario(engine: Engine) -> None:
        whole = Reading(engine)
        await engine.generate([dispatch(1)])
        await whole.until_ended("job_1")
        ids = tuple(whole.logs["job_1"].token_ids)
        resume = Output(simulated_text(MESSAGES, None, 12), ids[:12])

        await engine.generate([dispatch(2, attempt=3, resume=resume)])
        frame = decode(await anext(whole.stream))
        first = next(delta for delta in frame if delta.job_id == "job_2")
        assert (first.offset, first.token_offset, first.attempt) == (len(resume.text), 12, 3)

        again = Reading(engine)
        await again.until_ended("job_2")
        assert again.text("job_2") == answer()
        assert tuple(again.logs["job_2"].token_ids) == ids
        assert again.logs["job_2"].end == Finished(Usage(PROMPT, 30), "length")

    with_engine(simulated, scenario)


@pytest.mark.parametrize("given", ["by the backend", "with the order"])
def test_a_prompt_that_cannot_be_rendered_again_is_told_with_its_text(given: str) -> None:
    backend = ScriptedBackend()
    known, made = ((4, 5), ()) if given == "with the order" else ((), (4, 5))

    async def scenario(engine: Engine) -> None:
        await engine.generate([dispatch(1, attempt=2, resume=Output("a", (1,), (1,), prompt_ids=known))])
        await backend.says(Chunk("job_1", 2, "b", (2,), prompt_ids=made))
        deltas = decode(await anext(engine.frames()))
        assert [(delta.text, delta.prompt_ids) for delta in deltas] == [("ab", (4, 5))]

    with_engine(backend, scenario)


def test_a_reader_that_was_replaced_is_told_so() -> None:
    """It may be the Journal that counts, and the other one that of before, which had stood still."""
    backend = ScriptedBackend()

    async def scenario(engine: Engine) -> None:
        await engine.generate([dispatch(1)])
        for reader in ("counts", "wakes up"):
            await anext(engine.frames(reader))
        assert not await engine.acknowledge("counts", 1)
        assert await engine.acknowledge("wakes up", 1)

    with_engine(backend, scenario)


def test_what_is_aborted_is_kept_and_what_is_settled_or_forgotten_is_gone() -> None:
    backend = ScriptedBackend()

    async def scenario(engine: Engine) -> None:
        await engine.generate([dispatch(1), dispatch(2), dispatch(3)])
        await engine.settled([("job_1", 1), ("job_3", 9), ("unknown", 1)])
        await engine.abort([("job_2", 1), ("job_3", 9), ("unknown", 1)])
        assert backend.aborted == [("job_2", 1), ("job_3", 9), ("unknown", 1)]
        # It is what the job ends with, until that is durable.
        assert (await engine.describe()).running == (("job_2", 1), ("job_3", 1))
        await engine.forget([("job_2", 1)])
        assert (await engine.describe()).running == (("job_3", 1),)
        await backend.says(Chunk("job_1", 1, "late"), Chunk("job_2", 1, "late"), Chunk("job_3", 1, "heard"))
        reading = Reading(engine)
        await reading.frame()
        assert {job_id: log.text for job_id, log in reading.logs.items()} == {"job_3": "heard"}

    with_engine(backend, scenario)


def test_what_is_aborted_is_kept_until_it_is_settled() -> None:
    """Its end is not durable yet: a new Journal has nobody else to hear it from."""
    backend = ScriptedBackend()

    async def scenario(engine: Engine) -> None:
        await engine.generate([dispatch(1)])
        await backend.says(Chunk("job_1", 1, "heard", (1,)))
        await engine.abort([("job_1", 1)])
        assert backend.aborted == [("job_1", 1)]
        reading = Reading(engine)
        await reading.frame()
        assert reading.text("job_1") == "heard"
        report = await engine.describe()
        assert (report.running, report.stopped, report.generating) == ((("job_1", 1),), (("job_1", 1),), 0)
        await engine.settled([("job_1", 1)])
        report = await engine.describe()
        assert (report.running, report.stopped) == ((), ())

    with_engine(backend, scenario)


def test_a_report_tells_what_is_generated_and_what_may_not_be_told_yet() -> None:
    backend = ScriptedBackend()

    async def scenario(engine: Engine) -> None:
        resumed = dispatch(3, attempt=2, resume=Output("so far", (1, 2, 3)))
        dispatches = [dispatch(1), replace(dispatch(2), confirmed=False), resumed]
        await engine.generate([replace(d, job=replace(d.job, prompt_tokens=10)) for d in dispatches])
        backend.steps = 7
        report = await engine.describe()
        assert (report.generating, report.prefill_tokens, report.steps) == (3, 33, 7)
        assert report.unconfirmed == (("job_2", 1),)
        await backend.says(Chunk("job_1", 1, "a", (1,), 10), Chunk("job_3", 2, "", (), 10, END))
        report = await engine.describe()
        assert (report.generating, report.prefill_tokens) == (2, 10)
        await engine.confirm([("job_2", 1)])
        await engine.forget([("job_2", 1)])
        report = await engine.describe()
        assert (report.generating, report.prefill_tokens, report.unconfirmed) == (1, 0, ())

    with_engine(backend, scenario)


def failed_chunk(number: int, text: str = "", retryable: bool = True) -> Chunk:
    ids = (1,) if text else ()
    return Chunk(f"job_{number}", 1, text, ids, 3, Failed(Usage(3, 0), "engine_error", "no"), retryable=retryable)


def test_an_attempt_that_failed_before_its_first_token_is_reported_and_not_told_as_the_jobs_end() -> None:
    backend = ScriptedBackend()

    async def scenario(engine: Engine) -> None:
        reading = Reading(engine)
        await engine.generate([dispatch(1), dispatch(2), dispatch(3)])
        await backend.says(Chunk("job_2", 1, "word", (1,), 3))
        await backend.says(failed_chunk(1), failed_chunk(2), failed_chunk(3, retryable=False))
        await reading.until_ended("job_2", "job_3")
        assert not reading.ended("job_1")
        report = await engine.describe()
        assert report.failed == (FailedAttempt(JobId("job_1"), 1, "no"),)
        assert (report.generating, len(report.running)) == (0, 3)
        # Its next attempt may come here as well.
        await engine.generate([dispatch(1, attempt=2)])
        assert (await engine.describe()).failed == ()

    with_engine(backend, scenario)


def test_a_repeated_or_older_dispatch_changes_nothing() -> None:
    backend = ScriptedBackend()

    async def scenario(engine: Engine) -> None:
        await engine.generate([dispatch(1, attempt=2)])
        await backend.says(Chunk("job_1", 2, "kept", (1,)))
        await engine.generate([dispatch(1, attempt=2), dispatch(1, attempt=1)])
        assert [d.attempt for d in backend.started] == [2]
        reading = Reading(engine)
        await reading.frame()
        assert (reading.text("job_1"), reading.attempts) == ("kept", {"job_1": 2})

    with_engine(backend, scenario)


def test_a_newer_attempt_replaces_the_older() -> None:
    backend = ScriptedBackend()

    async def scenario(engine: Engine) -> None:
        await engine.generate([dispatch(1, attempt=1)])
        await backend.says(Chunk("job_1", 1, "old", (1,)))
        await engine.generate([dispatch(1, attempt=2, resume=Output("ol", (1,)))])
        assert backend.aborted == [("job_1", 1)]  # it would go on to max_tokens
        await backend.says(Chunk("job_1", 1, " dropped", (2,)), Chunk("job_1", 2, " new", (3,)))
        reading = Reading(engine)
        await reading.frame()
        assert (reading.text("job_1"), reading.attempts) == ("ol new", {"job_1": 2})

    with_engine(backend, scenario)


def test_the_report_tells_what_was_loaded_and_what_runs() -> None:
    async def scenario() -> None:
        backend = ScriptedBackend()
        engine = Engine(EngineId("sim/0"), "sim", NodeId("node_0"), backend, 0.0)
        assert (await engine.describe()).state == "starting"
        report = await engine.load()
        assert (report.state, report.slots, report.context_length, report.figures) == ("ready", 8, 64, None)
        backend.figures = EngineFigures(num_requests_running=1)
        assert (await engine.describe()).figures == backend.figures
        await engine.generate([dispatch(1, attempt=4)])
        assert (await engine.describe()).running == (("job_1", 4),)
        await engine.stop()
        assert (await engine.describe()).state == "stopped"
        assert backend.closed

    run(scenario())


def test_a_model_that_is_being_loaded_is_not_loaded_again() -> None:
    async def scenario() -> None:
        backend = ScriptedBackend()
        engine = Engine(EngineId("sim/0"), "sim", NodeId("node_0"), backend, 0.0)
        reports = [*await asyncio.gather(engine.load(), engine.load()), await engine.load()]
        assert [report.state for report in reports] == ["ready"] * 3
        assert backend.loads == 1
        await engine.stop()

    run(scenario())


def test_a_model_that_does_not_load_says_why() -> None:
    async def scenario() -> None:
        engine = Engine(EngineId("sim/0"), "sim", NodeId("n"), SimulatedBackend({"fail_on_load": "no disk"}), 0.0)
        with pytest.raises(BackendDied, match="no disk"):
            await engine.load()

    run(scenario())


def test_an_engine_whose_backend_died_ends_itself() -> None:
    async def scenario() -> None:
        ended: list[str] = []
        backend = ScriptedBackend()
        engine = Engine(EngineId("sim/0"), "sim", NodeId("n"), backend, 0.0, lambda: ended.append("left"))
        await engine.load()
        backend.died(BackendDied("out of memory"))
        await settled()
        report = await engine.describe()
        assert (ended, report.state, report.message) == (["left"], "failed", "out of memory")

    run(scenario())


def test_a_reader_that_has_been_replaced_is_told_nothing_and_does_not_come_back() -> None:
    """A Journal that lives on beside the new one would else take the stream from it, again and again."""
    backend = ScriptedBackend()

    async def scenario(engine: Engine) -> None:
        old = Reading(engine)
        await old.frame()
        new = Reading(engine)
        await new.frame()
        await engine.generate([dispatch(1)])
        await backend.says(Chunk("job_1", 1, "word", (1,), 3, END))
        await new.until_ended("job_1")
        waiting = asyncio.ensure_future(anext(old.stream))
        await settled()
        assert not waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    with_engine(backend, scenario)


def test_an_engine_that_is_told_of_adapters_tells_what_it_makes_of_them() -> None:
    async def scenario() -> None:
        backend = ScriptedBackend()
        engine = Engine(EngineId("sim/0"), "sim", NodeId("n"), backend, 0.0)
        german, greek = Adapter("german", "org/german"), Adapter("greek", "org/greek")
        telling = asyncio.create_task(engine.adapt([german, greek]))
        await settled()
        assert (backend.told, telling.done()) == ([german, greek], False)
        refusal = AdapterRefusal(greek.number, "no such file")
        backend.adapted = Adapted((german.number,), (refusal,))
        backend.adapting.set_result(None)
        report = await telling
        assert (report.known, report.refused) == ((german.number,), (refusal,))

    run(scenario())
