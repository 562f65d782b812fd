"""The conformance suite of backends: every one passes it, the simulated one and the real one.

A test class inherits it and gives it `subject`, a loaded backend and what the suite must know of it.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.structs import replace

from actors.backends.base import Backend, BackendDied, Chunk, Loaded
from cluster.ids import AccountId, JobId, KeyId
from cluster.messages.work import ChatMessage, Dispatch, End, Failed, Finished, Job, Output, Sampling
from cluster.text.token_log import TokenLog

PATIENCE_S = 60.0
"""How long to wait for a signal before a test fails. Nothing waits for time to pass."""

NOTHING = Output()


class Inbox:
    """Collects what a backend says, by (job id, attempt)."""

    def __init__(self) -> None:
        self.chunks: dict[tuple[str, int], list[Chunk]] = {}
        self.order: list[Chunk] = []
        self.deaths: list[BackendDied] = []
        self._news = threading.Condition()

    def sink(self, chunks: Iterable[Chunk]) -> None:
        with self._news:
            for chunk in chunks:
                self.chunks.setdefault((chunk.job_id, chunk.attempt), []).append(chunk)
                self.order.append(chunk)
            self._news.notify_all()

    def died(self, death: BackendDied) -> None:
        with self._news:
            self.deaths.append(death)
            self._news.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        with self._news:
            assert self._news.wait_for(condition, PATIENCE_S), "the backend did not say what was expected"

    def of(self, dispatch: Dispatch) -> list[Chunk]:
        return self.chunks.get((dispatch.job.id, dispatch.attempt), [])

    def end(self, dispatch: Dispatch) -> End:
        """Wait for the job's end. It must be the last thing said of it, and the only end."""
        self.wait(lambda: any(chunk.end for chunk in self.of(dispatch)))
        chunks = self.of(dispatch)
        assert [chunk.end is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
        end = chunks[-1].end
        assert end is not None
        return end

    def output(self, dispatch: Dispatch) -> Output:
        """All that came of a job in this attempt."""
        return joined(self.of(dispatch))


def joined(chunks: Iterable[Chunk], after: Output = NOTHING) -> Output:
    """All that these chunks bring, after what there was."""
    log = TokenLog(after)
    for chunk in chunks:
        log.append(chunk.text, chunk.token_ids, chunk.ends)
    return replace(log.output(), text=log.text)


@dataclass
class Subject:
    """A loaded backend, and what the suite must know of it."""

    backend: Backend
    inbox: Inbox
    loaded: Loaded
    messages: tuple[ChatMessage, ...]
    """A dialogue with an answer of at least six tokens."""
    decode: Callable[[tuple[int, ...]], str]
    sampling: Sampling = field(default_factory=lambda: Sampling(max_tokens=200, temperature=0.0))
    jobs: int = 0

    def dispatch(
        self,
        resume: Output = NOTHING,
        attempt: int = 1,
        stop: tuple[str, ...] = (),
        max_tokens: int = 0,
        json_schema: str | None = None,
        **others: Any,
    ) -> Dispatch:
        """`others` are fields of `Sampling` beyond those that most tests need."""
        self.jobs += 1
        job = Job(
            id=JobId(f"job-{self.jobs}"),
            account_id=AccountId("account"),
            key_id=KeyId("key"),
            model="model",
            messages=self.messages,
            sampling=Sampling(
                max_tokens=max_tokens or self.sampling.max_tokens,
                temperature=0.0,
                stop=stop,
                json_schema=json_schema,
                **others,
            ),
            created_ms=0,
            deadline_ms=0,
        )
        return Dispatch(job, attempt, resume)

    def run(self, dispatch: Dispatch) -> tuple[Output, End]:
        self.backend.start([dispatch])
        end = self.inbox.end(dispatch)
        return self.inbox.output(dispatch), end

    def undisturbed(self) -> tuple[Output, list[Chunk], End]:
        dispatch = self.dispatch()
        output, end = self.run(dispatch)
        return output, self.inbox.of(dispatch), end


class BackendSuite:
    """What every backend promises."""

    @pytest.fixture
    def subject(self) -> Subject:
        raise NotImplementedError

    def test_generates_the_same_answer_to_everyone(self, subject: Subject) -> None:
        expected, _, expected_end = subject.undisturbed()
        dispatches = [subject.dispatch() for _ in range(8)]
        subject.backend.start(dispatches)
        for dispatch in dispatches:
            assert subject.inbox.end(dispatch) == expected_end
            assert subject.inbox.output(dispatch).text == expected.text

    def test_every_chunk_is_the_text_of_its_tokens(self, subject: Subject) -> None:
        output, chunks, _ = subject.undisturbed()
        assert subject.decode(output.token_ids) == output.text
        ids: tuple[int, ...] = ()
        text = ""
        for chunk in chunks:
            ids, text = ids + chunk.token_ids, text + chunk.text
            assert subject.decode(ids) == text
        begun = [subject.decode(output.token_ids[:n]) for n in range(1, len(ids) + 1)]
        assert output.ends == tuple(len(text.rstrip("\ufffd")) for text in begun)  # half a character is no text yet

    def test_counts_its_steps(self, subject: Subject) -> None:
        before = subject.backend.steps
        _, chunks, _ = subject.undisturbed()
        assert subject.backend.steps - before >= len(chunks) > 1

    def test_counts_usage(self, subject: Subject) -> None:
        output, chunks, end = subject.undisturbed()
        assert isinstance(end, Finished)
        assert end.finish_reason in ("stop", "length")
        assert end.usage.prompt_tokens > 0
        assert [chunk.prompt_tokens for chunk in chunks] == [end.usage.prompt_tokens] + [0] * (len(chunks) - 1)
        assert len(output.token_ids) <= end.usage.completion_tokens <= len(output.token_ids) + 1

    def test_max_tokens_ends_with_length(self, subject: Subject) -> None:
        full, _, _ = subject.undisturbed()
        for max_tokens in (1, 3):
            output, end = subject.run(subject.dispatch(max_tokens=max_tokens))
            assert isinstance(end, Finished)
            assert end.finish_reason == "length"
            assert end.usage.completion_tokens == max_tokens
            assert full.text.startswith(output.text)
            assert full.token_ids[: len(output.token_ids)] == output.token_ids

    def test_goes_on_from_every_cut(self, subject: Subject) -> None:
        full, chunks, full_end = subject.undisturbed()
        cuts = [Output()]
        for chunk in chunks:
            cuts.append(joined([chunk], cuts[-1]))
        resumed = [subject.dispatch(cut, attempt=2) for cut in cuts]
        for cut, dispatch in zip(cuts, resumed, strict=True):
            _, end = subject.run(dispatch)
            assert joined(subject.inbox.of(dispatch), cut) == full
            assert end == full_end

    def test_nothing_left_to_generate(self, subject: Subject) -> None:
        full, _, _ = subject.undisturbed()
        cut = Output(subject.decode(full.token_ids[:2]), full.token_ids[:2], full.ends[:2])
        rest, end = subject.run(subject.dispatch(cut, attempt=2, max_tokens=2))
        assert rest == Output()
        assert isinstance(end, Finished)
        assert end.finish_reason == "length"
        assert end.usage.completion_tokens == 2

    def test_stop_string_at_every_place(self, subject: Subject) -> None:
        """Each substring of three characters, most of which span tokens or begin within one."""
        full, _, _ = subject.undisturbed()
        head = full.text[:60]
        stops = sorted({head[i : i + 3] for i in range(len(head) - 3)})
        dispatches = [subject.dispatch(stop=(stop,)) for stop in stops]
        subject.backend.start(dispatches)
        for stop, dispatch in zip(stops, dispatches, strict=True):
            end = subject.inbox.end(dispatch)
            output = subject.inbox.output(dispatch)
            assert isinstance(end, Finished)
            assert end.finish_reason == "stop"
            assert output.text == full.text[: full.text.index(stop)]
            assert output.text.startswith(subject.decode(output.token_ids))
            assert end.usage.completion_tokens > len(output.token_ids)

    def test_resumes_before_a_stop_string(self, subject: Subject) -> None:
        """What has been let out is a point to go on from: no stop string begins in it."""
        full, _, _ = subject.undisturbed()
        middle = len(full.text[:60]) // 2
        stop = full.text[middle : middle + 7]
        first = subject.dispatch(stop=(stop,))
        expected, _ = subject.run(first)
        cut = Output()
        for chunk in subject.inbox.of(first)[:-1]:
            cut = joined([chunk], cut)
            rest, end = subject.run(subject.dispatch(cut, attempt=2, stop=(stop,)))
            assert cut.text + rest.text == expected.text
            assert isinstance(end, Finished)
            assert end.finish_reason == "stop"

    def test_a_stop_string_that_never_comes_changes_nothing(self, subject: Subject) -> None:
        full, _, full_end = subject.undisturbed()
        output, end = subject.run(subject.dispatch(stop=(full.text[-2:] + "\0", full.text + "\0")))
        assert (output, end) == (full, full_end)

    def test_more_jobs_than_slots(self, subject: Subject) -> None:
        full, _, _ = subject.undisturbed()
        dispatches = [subject.dispatch() for _ in range(2 * subject.loaded.slots + 1)]
        subject.backend.start(dispatches)
        for dispatch in dispatches:
            subject.inbox.end(dispatch)
            assert subject.inbox.output(dispatch).text == full.text

    def test_abort_stops_without_an_end(self, subject: Subject) -> None:
        aborted, kept = subject.dispatch(), subject.dispatch()
        subject.backend.start([aborted, kept])
        subject.backend.abort([(aborted.job.id, aborted.attempt), ("unknown", 1), (kept.job.id, 7)])
        after = subject.dispatch()
        subject.backend.start([after])
        for dispatch in (kept, after):
            assert isinstance(subject.inbox.end(dispatch), Finished)
        order = subject.inbox.order
        first_after = next(n for n, chunk in enumerate(order) if chunk.job_id == after.job.id)
        assert all(chunk.job_id != aborted.job.id for chunk in order[first_after:])
        assert all(chunk.end is None for chunk in subject.inbox.of(aborted))

    def test_too_long_for_the_context(self, subject: Subject) -> None:
        max_tokens = subject.loaded.context_length
        output, end = subject.run(subject.dispatch(max_tokens=max_tokens))
        assert output == Output()
        assert isinstance(end, Failed)
        assert end.error == "context_length_exceeded"
        assert str(max_tokens) in end.error_message
        assert end.usage.completion_tokens == 0

    def test_a_schema_it_cannot_follow_ends_that_job_alone(self, subject: Subject) -> None:
        full, _, full_end = subject.undisturbed()
        before, after = subject.dispatch(), subject.dispatch()
        refused = subject.dispatch(json_schema='{"type": "string", "not": {"const": ""}}')
        subject.backend.start([before, refused, after])
        end = subject.inbox.end(refused)
        assert subject.inbox.output(refused) == Output()
        assert isinstance(end, Failed)
        assert end.error == "engine_error"
        assert end.error_message.startswith("json_schema: ")
        for dispatch in (before, after):
            assert subject.inbox.end(dispatch) == full_end
            assert subject.inbox.output(dispatch).text == full.text

    def test_nobody_died(self, subject: Subject) -> None:
        subject.undisturbed()
        assert subject.inbox.deaths == []


def threads_since(before: Iterable[threading.Thread]) -> set[str]:
    """The names of the threads that were started since and still run."""
    return {thread.name for thread in set(threading.enumerate()) - set(before)}
