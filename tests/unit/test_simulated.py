"""The simulated backend passes the suite of all backends, keeps its beat and fails when told to."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import pytest
from msgspec.structs import replace

from actors.backends import create, option_faults
from actors.backends.base import BackendDied
from actors.backends.prompts.by_length import prompt_tokens
from actors.backends.simulated import VOCABULARY, SimulatedBackend, parse_options, simulated_text
from actors.backends.simulated.prefix_cache import PrefixCache
from cluster.catalogue import Model
from cluster.messages.work import ChatMessage, Output
from tests.support.backend_suite import PATIENCE_S, BackendSuite, Inbox, Subject, threads_since

MESSAGES = (ChatMessage("system", "Be brief."), ChatMessage("user", "What is the capital of France?"))
FAST: dict[str, Any] = {"first_token_s": 0.0, "token_s": 0.0002, "batch_slots": 16, "output_tokens": 40}


def load(**options: Any) -> Subject:
    inbox = Inbox()
    backend = SimulatedBackend(FAST | options)
    loaded = backend.load(inbox.sink, inbox.died)
    return Subject(backend, inbox, loaded, MESSAGES, lambda ids: "".join(VOCABULARY[i] for i in ids))


@pytest.fixture
def subject() -> Iterator[Subject]:
    before = threading.enumerate()
    subject = load()
    yield subject
    subject.backend.close()
    subject.backend.close()
    assert threads_since(before) == set()


class TestSimulated(BackendSuite):
    @pytest.fixture
    def subject(self, subject: Subject) -> Subject:
        return subject


def test_text_is_a_pure_function(subject: Subject) -> None:
    output, _, end = subject.undisturbed()
    assert output.text == simulated_text(MESSAGES, None, 40)
    assert end.finish_reason == "stop"
    assert simulated_text(MESSAGES, None, 40).startswith(simulated_text(MESSAGES, None, 39))
    assert simulated_text(MESSAGES, None, 40) != simulated_text(MESSAGES, 1, 40)
    assert simulated_text(MESSAGES, None, 40) != simulated_text(MESSAGES[1:], None, 40)


def test_text_is_what_text_is_like() -> None:
    text = simulated_text(MESSAGES, 7, 48)
    assert text.count("\n") == 2
    assert any(ord(character) > 0xFFFF for character in text)
    assert any(0x7F < ord(character) <= 0xFFFF for character in text)
    assert sum(word.isascii() and word.isalpha() for word in text.split()) > 30


def test_one_sink_call_a_step() -> None:
    subject = load(batch_slots=8)
    frames: list[int] = []
    sink = subject.inbox.sink
    subject.backend.close()

    backend = SimulatedBackend(FAST | {"batch_slots": 8})
    backend.load(lambda chunks: (frames.append(len(chunks)), sink(chunks))[1], subject.inbox.died)
    dispatches = [subject.dispatch() for _ in range(12)]
    backend.start(dispatches)
    for dispatch in dispatches:
        subject.inbox.end(dispatch)
    backend.close()
    assert frames == [8] * 40 + [4] * 40


def test_fails_at_a_token_and_lets_a_resumed_job_pass() -> None:
    subject = load(fail_at_token=5)
    output, end = subject.run(subject.dispatch())
    assert end.error == "engine_error"
    assert output.text == simulated_text(MESSAGES, None, 5)
    assert end.usage.completion_tokens == 5
    rest, end = subject.run(subject.dispatch(output, attempt=2))
    assert end.finish_reason == "stop"
    assert output.text + rest.text == simulated_text(MESSAGES, None, 40)
    subject.backend.close()


def test_hangs_at_a_token_while_others_go_on() -> None:
    subject = load(hang_at_token=5)
    hung, passing = subject.dispatch(), subject.dispatch(Output("", tuple(range(5))))
    subject.backend.start([hung, passing])
    subject.inbox.end(passing)
    assert len(subject.inbox.of(hung)) == 5
    subject.backend.close()
    assert subject.inbox.deaths == []


def test_dies_at_a_token() -> None:
    subject = load(die_at_token=5)
    doomed = subject.dispatch()
    subject.backend.start([doomed])
    subject.inbox.wait(lambda: bool(subject.inbox.deaths))
    assert subject.inbox.output(doomed).text == simulated_text(MESSAGES, None, 5)
    assert "dies at token 5" in str(subject.inbox.deaths[0])
    subject.backend.start([subject.dispatch()])
    subject.backend.close()
    assert len(subject.inbox.deaths) == 1


def test_a_failing_sink_is_a_death() -> None:
    inbox = Inbox()
    backend = SimulatedBackend(FAST)

    def sink(chunks: object) -> None:
        raise RuntimeError("no")

    backend.load(sink, inbox.died)
    subject = load()
    backend.start([subject.dispatch()])
    inbox.wait(lambda: bool(inbox.deaths))
    backend.close()
    subject.backend.close()


def test_closing_ends_a_load() -> None:
    before = threading.enumerate()
    inbox = Inbox()
    backend = SimulatedBackend(FAST | {"load_s": 5.0})
    with ThreadPoolExecutor() as pool:
        loading = pool.submit(backend.load, inbox.sink, inbox.died)
        backend.close()
        with pytest.raises(BackendDied, match=r"^closed while loading$"):
            loading.result(timeout=PATIENCE_S)
    assert inbox.deaths == []
    assert threads_since(before) == set()


def test_closing_waits_for_a_thread_that_is_being_started(monkeypatch: pytest.MonkeyPatch) -> None:
    before = threading.enumerate()
    inbox = Inbox()
    backend = SimulatedBackend(FAST)
    with ThreadPoolExecutor() as pool:
        closing: list[Future[None]] = []

        class SlowlyStarted(threading.Thread):
            def start(self) -> None:
                closing.append(pool.submit(backend.close))
                wait(closing, timeout=0.02)
                super().start()

        monkeypatch.setattr("actors.backends.simulated.backend.Thread", SlowlyStarted)
        backend.load(inbox.sink, inbox.died)
        closing[0].result(timeout=PATIENCE_S)
    assert inbox.deaths == []
    assert threads_since(before) == set()


def test_each_attempt_draws_another_text_when_told_so() -> None:
    subject = load(vary_by_attempt=True)
    texts = []
    for attempt in (1, 2, 3):
        output, end = subject.run(subject.dispatch(attempt=attempt))
        assert output.text == simulated_text(MESSAGES, None, 40, attempt)
        assert end.finish_reason == "stop"
        texts.append(output.text)
    assert texts[0] == simulated_text(MESSAGES, None, 40)
    assert len(set(texts)) == 3
    subject.backend.close()


def test_an_attempt_that_goes_on_draws_what_was_begun() -> None:
    subject = load(vary_by_attempt=True)
    begun, _ = subject.run(subject.dispatch(attempt=2, max_tokens=13))
    rest, _ = subject.run(subject.dispatch(begun, attempt=5))
    assert begun.text + rest.text == simulated_text(MESSAGES, None, 40, attempt=2)
    subject.backend.close()


def test_fails_on_load() -> None:
    with pytest.raises(BackendDied, match=r"^out of imaginary memory$"):
        load(fail_on_load="out of imaginary memory")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"tokens_s": 1}, "engine.tokens_s: unknown option"),
        ({"token_s": "fast"}, "engine.token_s: expected `float`, got `str`"),
        ({"token_s": -1}, "engine.token_s: expected `float` >= 0"),
        ({"batch_slots": 0}, "engine.batch_slots: expected `int` >= 1"),
    ],
)
def test_bad_options_name_key_and_reason(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_options(options)
    model = Model(id="sim", backend="simulated", gpus=0, engine=options)
    (fault,) = option_faults("simulated", options)
    assert f"engine.{fault.option}: {fault.reason}".startswith(reason)
    with pytest.raises(BackendDied, match=reason):
        create(model, "").load(lambda chunks: None, lambda death: None)


def test_a_prompt_that_has_been_read_is_in_the_cache_and_so_is_the_answer() -> None:
    subject = load(prefix_blocks=100, block_size=2, output_tokens=8)
    first, again = subject.dispatch(), subject.dispatch()
    told = [subject.run(dispatch) and subject.inbox.of(dispatch)[0].cached_tokens for dispatch in (first, again)]
    prompt = prompt_tokens(MESSAGES)
    assert told == [0, (prompt - 1) // 2 * 2]
    said = ChatMessage("assistant", simulated_text(MESSAGES, None, 8))
    first = subject.dispatch()
    follow = replace(first, job=replace(first.job, messages=(*MESSAGES, said, ChatMessage("user", "And then?"))))
    subject.run(follow)
    assert subject.inbox.of(follow)[0].cached_tokens == prompt_tokens((*MESSAGES, said)) // 2 * 2
    subject.backend.close()


def test_without_a_cache_nothing_is_told_of_it() -> None:
    subject = load()
    dispatch = subject.dispatch()
    subject.run(dispatch)
    assert all(chunk.cached_tokens is None for chunk in subject.inbox.of(dispatch))
    subject.backend.close()


def test_a_cache_forgets_what_was_read_least_recently_and_the_end_of_a_prompt_before_its_beginning() -> None:
    cache = PrefixCache(6, 4)
    texts = {name: (ChatMessage("user", name * 4 * 13),) for name in "ab"}  # of four blocks each
    assert cache.read(texts["a"]) == 0
    assert cache.read(texts["a"]) == 12  # the last block has the last token
    assert cache.read(texts["b"]) == 0
    assert cache.read(texts["b"]) == 12
    assert cache.read(texts["a"]) == 8


def test_what_is_not_cached_takes_its_time_to_read() -> None:
    subject = load(prefill_token_s=0.001, prefix_blocks=100, block_size=1)
    assert (subject.loaded.cache_tokens, subject.loaded.block_tokens) == (100, 1)
    began_s = time.monotonic()
    subject.run(subject.dispatch())
    assert time.monotonic() - began_s >= 0.001 * prompt_tokens(MESSAGES)
    subject.backend.close()
