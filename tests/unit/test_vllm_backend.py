"""The threads of the vLLM backend, with an engine that is not vLLM's. The real one: tests/backends."""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from actors.backends.base import Adapted, BackendDied
from actors.backends.vllm.adapter_files import AdapterFiles, AdapterRefused
from actors.backends.vllm.adapting import without_added
from actors.backends.vllm.backend import VllmBackend
from actors.backends.vllm.detokenizer import Detokenizer
from actors.backends.vllm.engine import InvalidRequest, Produced, VllmEngine, Wanted
from actors.backends.vllm.structured import TRIAL_ANSWER, Constraint
from cluster.catalogue import Adapter, Model
from cluster.conversation import Conversation
from cluster.messages.machines import AdapterRefusal
from cluster.messages.marks import FinishReason
from cluster.messages.work import ChatMessage, Dispatch, Output, Sampling
from tests.support.backend_suite import PATIENCE_S, BackendSuite, Inbox, Subject
from tests.support.lora import make_adapter

MODEL = Model("m", source="org/m", gpus=0)
MESSAGES = (ChatMessage("user", "Hello"),)
ANSWER = "Hello there, how are you all?"
STEP_S = 0.003
"""Long enough to abort an answer before its end."""
FAILED = "The engine could not generate this answer"
CANNOT_RENDER = "the model's chat template cannot render this dialogue"


class EngineDead(Exception):
    pass


class Characters:
    """Every token is a character, but for token 0, which is half of one."""

    def text(self, token_id: int) -> str:
        return chr(token_id) if token_id else ""


class ScriptedEngine(VllmEngine):
    """Answers every prompt with `ANSWER`, a character a step.

    Its chat template refuses 3 messages. For prompts of more than 8 messages, `add` raises `invalid`. A step that is
    `held` says so with `stepping` and waits for `may_step`; `tokenised` is released for every prompt.
    """

    context_length = 100
    cache_tokens = 1600
    block_tokens = 16
    batch_size = 16
    pools = False
    prompts_tell_time = False
    thinks = False
    loaded_adapters: tuple[str, ...] = ()
    figures = None
    adapters = ("known",)
    adapted = Adapted()

    def __init__(self, structured: bool = False) -> None:
        self.files: dict[str, AdapterFiles] = {}
        self.structured = structured
        self.running: dict[str, str] = {}
        self.prompts: dict[str, list[int]] = {}
        self.reasons: dict[str, FinishReason] = {}
        self.aborted: list[str] = []
        self.held = False
        self.stepping = threading.Semaphore(0)
        self.may_step = threading.Semaphore(0)
        self.tokenised = threading.Semaphore(0)
        self.invalid: Exception = InvalidRequest("too many")
        self.kill: Callable[[Exception], None] = lambda error: None
        self.is_shut_down = False

    def tokenise(self, messages: Sequence[ChatMessage]) -> list[int]:
        self.tokenised.release()
        if len(messages) == 3:
            raise ValueError("a secret")
        return [1] * len(messages)

    def decode(self, token_ids: Sequence[int]) -> str:
        return "".join(map(chr, token_ids))

    def detokenizer(self, prompt: Sequence[int], sampling: Sampling) -> Detokenizer:
        return Characters()

    def verify(self, constraint: Constraint) -> None:
        pass

    def add(self, request_id: str, wanted: Wanted) -> None:
        if wanted.adapter and wanted.adapter not in self.adapters:
            raise AdapterRefused(wanted.adapter, "the engine does not know it")
        if wanted.adapter:
            self.loaded_adapters = (wanted.adapter,)
        assert (wanted.detokenizer is None) == (not wanted.resumed or request_id.startswith("trial/"))
        if len(wanted.prompt) > 8:
            raise self.invalid
        if wanted.constraint is not None and not self.structured:
            raise InvalidRequest("no grammar")
        answer = TRIAL_ANSWER if wanted.constraint is not None else ANSWER
        max_tokens = wanted.sampling.max_tokens
        self.prompts[request_id] = list(wanted.prompt)
        self.running[request_id] = answer[len(wanted.resumed) : max_tokens]
        self.reasons[request_id] = "stop" if len(answer) <= max_tokens else "length"

    def keep_adapters(self, numbers: Collection[int]) -> None:
        refused = tuple(each for each in self.adapted.refused if each.number in numbers)
        self.adapted = Adapted(tuple(number for number in self.adapted.known if number in numbers), refused)

    def know(self, adapter: Adapter, files: AdapterFiles) -> None:
        if adapter.id == "torn":
            self.refuse(adapter, "vLLM cannot load it: it is torn")
            raise AdapterRefused(adapter.id, "vLLM cannot load it: it is torn")
        self.files[adapter.id] = files
        self.adapted = Adapted((*self.adapted.known, adapter.number), self.adapted.refused)

    def refuse(self, adapter: Adapter, reason: str) -> None:
        self.adapted = Adapted(self.adapted.known, (*self.adapted.refused, AdapterRefusal(adapter.number, reason)))

    def is_dead(self, error: Exception) -> bool:
        return isinstance(error, EngineDead)

    def is_idle(self) -> bool:
        return not self.running

    def step(self) -> list[Produced]:
        if self.held:
            self.stepping.release()
            assert self.may_step.acquire(timeout=PATIENCE_S)
        time.sleep(STEP_S)
        return [self._produce(request_id) for request_id in list(self.running)]

    def abort(self, request_ids: Sequence[str]) -> None:
        self.aborted += request_ids
        for request_id in request_ids:
            self.running.pop(request_id, None)

    def begin_times(self) -> None:
        """It counts none."""

    def watch(self, killed: Callable[[Exception], None]) -> None:
        self.kill = killed

    def shut_down(self) -> None:
        self.is_shut_down = True

    def _produce(self, request_id: str) -> Produced:
        text, rest = self.running[request_id][:1], self.running[request_id][1:]
        self.running[request_id] = rest
        if not rest:
            del self.running[request_id]
        reason = None if rest else self.reasons[request_id]
        return Produced(request_id, tuple(text), tuple(map(ord, text)), reason, None, not rest, cached_tokens=32)


class Loaded:
    """A backend with a scripted engine, loaded."""

    def __init__(self, engine: ScriptedEngine | None = None) -> None:
        self.engine = engine = engine or ScriptedEngine()
        self.inbox = Inbox()
        self.backend = VllmBackend(MODEL, "org/m", lambda *_: engine)
        loaded = self.backend.load(self.inbox.sink, self.inbox.died)
        self.subject = Subject(self.backend, self.inbox, loaded, MESSAGES, engine.decode, Sampling(max_tokens=50))

    def dispatch(self, messages: int = 1, **sampling: Any) -> Dispatch:
        self.subject.messages = MESSAGES * messages
        return self.subject.dispatch(**sampling)

    def render(self, dispatch: Dispatch) -> None:
        """Start this job, and return when its prompt has been rendered: one thread renders one prompt after another."""
        self.backend.start([dispatch, self.dispatch()])
        for _ in range(2):
            assert self.engine.tokenised.acquire(timeout=PATIENCE_S)


@pytest.fixture
def stage() -> Iterator[Loaded]:
    loaded = Loaded()
    yield loaded
    loaded.backend.close()
    loaded.backend.close()
    assert loaded.engine.is_shut_down
    assert len(loaded.inbox.deaths) <= 1


class TestScripted(BackendSuite):
    @pytest.fixture
    def subject(self, stage: Loaded) -> Subject:
        return stage.subject


def test_answers_and_says_what_it_offers(stage: Loaded) -> None:
    output, end = stage.subject.run(stage.dispatch())
    assert (output.text, end.finish_reason) == (ANSWER, "stop")
    assert (stage.subject.loaded.slots, stage.subject.loaded.context_length) == (18, 100)


def test_an_adapter_that_cannot_be_had_fails_its_job_and_no_other(stage: Loaded) -> None:
    plain = stage.dispatch()
    known, unknown = (
        replace(each, job=replace(each.job, adapter=name))
        for each, name in ((stage.dispatch(), "known"), (stage.dispatch(), "unknown"))
    )
    stage.backend.start([plain, known, unknown])
    failed = stage.inbox.end(unknown)
    assert failed.error_message == f"{FAILED}: adapter unknown: the engine does not know it"
    assert [chunk.retryable for chunk in stage.inbox.of(unknown)] == [True]  # another engine may have it
    assert [stage.inbox.end(each).finish_reason for each in (plain, known)] == ["stop", "stop"]
    assert stage.backend.adapters == ("known",)


def test_adapters_are_read_and_loaded_while_it_generates_and_what_is_none_is_told(
    stage: Loaded, tmp_path: Path
) -> None:
    running = stage.dispatch()
    stage.engine.held = True
    stage.backend.start([running])
    assert stage.engine.stepping.acquire(timeout=PATIENCE_S)
    good, torn = (Adapter(name, str(make_adapter(tmp_path / name, 1)), added_ms=1) for name in ("good", "torn"))
    gone = Adapter("gone", str(tmp_path / "gone"), added_ms=1)
    telling = stage.backend.adapt([good, torn, gone])
    stage.engine.held = False
    stage.engine.may_step.release()
    telling.result(PATIENCE_S)
    assert stage.backend.adapted.known == (good.number,)
    assert stage.engine.files["good"].folder == tmp_path / "good"
    assert {each.number: each.reason for each in stage.backend.adapted.refused} == {
        torn.number: "vLLM cannot load it: it is torn",
        gone.number: f"there is no folder {tmp_path / 'gone'}",
    }
    assert stage.inbox.end(running).finish_reason == "stop"
    stage.backend.adapt([]).result(PATIENCE_S)
    assert stage.backend.adapted == Adapted()


def test_an_engine_that_does_not_start_with_what_was_added_starts_without_it() -> None:
    of_settings, added = Adapter("known", "org/known"), Adapter("new", "org/new", added_ms=1)
    made: list[tuple[Adapter, ...]] = []
    engine = ScriptedEngine()

    def make(model: Model, *_: Any) -> ScriptedEngine:
        made.append(model.adapters)
        if added in model.adapters:
            raise RuntimeError("out of memory")
        return engine

    inbox = Inbox()
    backend = VllmBackend(replace(MODEL, adapters=(of_settings, added)), "org/m", make)
    with closing(backend):
        backend.load(inbox.sink, inbox.died)
        assert made == [(of_settings, added), (of_settings,)]
        (refusal,) = backend.adapted.refused
        assert (refusal.number, refusal.outgrown) == (added.number, False)
        assert refusal.reason == "vLLM does not start with it: RuntimeError: out of memory"


def test_what_was_added_last_is_left_out_first() -> None:
    first, last, of_settings = Adapter("first", added_ms=1), Adapter("last", added_ms=2), Adapter("known")
    assert without_added((last, of_settings, first)) == [(), (last,), (first, last)]
    assert without_added((of_settings, first)) == [(), (first,)]
    assert without_added((of_settings,)) == [()]


def test_a_stop_string_ends_the_request(stage: Loaded) -> None:
    stop = stage.dispatch(stop=("lo",))
    output, end = stage.subject.run(stop)
    assert (output.text, end.finish_reason) == ("Hel", "stop")
    assert stage.engine.aborted == [f"{stop.job.id}/1"]


def test_no_refusal_is_lost_while_another_waits_for_a_step_to_end(stage: Loaded) -> None:
    engine = stage.engine
    assert engine.tokenised.acquire(timeout=PATIENCE_S)  # the warm-up's
    first, second = stage.dispatch(messages=3), stage.dispatch(messages=3)
    engine.held = True
    stage.backend.start([running := stage.dispatch()])
    assert engine.stepping.acquire(timeout=PATIENCE_S)
    assert engine.tokenised.acquire(timeout=PATIENCE_S)
    stage.render(first)
    engine.may_step.release()
    assert engine.stepping.acquire(timeout=PATIENCE_S)  # the first refusal waits for this step's end
    stage.render(second)
    engine.held = False
    engine.may_step.release()
    for refused in (first, second):
        end = stage.inbox.end(refused)
        assert (end.error, end.error_message) == ("engine_error", f"{FAILED}: {CANNOT_RENDER}")
    assert stage.inbox.end(running).finish_reason == "stop"


@pytest.mark.parametrize("tells_time", [True, False])
def test_a_prompt_that_tells_the_time_is_kept_and_gone_on_with(tells_time: bool, stage: Loaded) -> None:
    stage.engine.prompts_tell_time = tells_time
    first = stage.dispatch(messages=2)
    stage.subject.run(first)
    told = [chunk.prompt_ids for chunk in stage.inbox.of(first)]
    assert told == [(1, 1) if tells_time else (), *[()] * (len(told) - 1)]

    resume = Output("Hel", tuple(map(ord, "Hel")), (1, 2, 3), prompt_ids=(3, 2, 1) if tells_time else ())
    resumed = replace(stage.dispatch(messages=2), attempt=2, resume=resume)
    output, _ = stage.subject.run(resumed)
    assert output.text == ANSWER[3:]
    assert stage.engine.prompts[f"{resumed.job.id}/2"] == ([3, 2, 1] if tells_time else [1, 1])


@pytest.mark.parametrize(
    ("template", "tells_time"),
    [("{{ strftime_now('%d %b %Y') }}", True), ({"default": "{{ strftime_now('%H') }}"}, True), ("{{ x }}", False)],
)
def test_which_chat_templates_tell_the_time(template: object, tells_time: bool) -> None:
    tokenizer = SimpleNamespace(chat_template=template)
    config = SimpleNamespace(get_diff_sampling_param=dict)
    engine = VllmEngine(SimpleNamespace(model_config=config, get_tokenizer=lambda: tokenizer), Conversation())
    assert engine.prompts_tell_time is tells_time


def test_the_template_of_the_catalogue_is_the_one_that_tells_the_time() -> None:
    tokenizer = SimpleNamespace(chat_template="{{ strftime_now('%Y') }}")
    inside = SimpleNamespace(
        model_config=SimpleNamespace(get_diff_sampling_param=dict), get_tokenizer=lambda: tokenizer
    )
    assert not VllmEngine(inside, Conversation("{{ x }}")).prompts_tell_time


def test_an_invalid_request_ends_alone(stage: Loaded, caplog: pytest.LogCaptureFixture) -> None:
    bad, good = stage.dispatch(messages=9), stage.dispatch()
    stage.backend.start([bad, good])
    assert stage.inbox.end(bad).error_message == FAILED
    assert stage.inbox.end(good).finish_reason == "stop"
    assert "too many" not in caplog.text  # it may quote the prompt


@pytest.mark.parametrize(
    ("invalid", "retryable"), [(InvalidRequest("too many"), False), (RuntimeError("out of sockets"), True)]
)
def test_what_the_request_is_not_to_blame_for_may_be_tried_again(
    invalid: Exception, retryable: bool, stage: Loaded
) -> None:
    stage.engine.invalid = invalid
    bad = stage.dispatch(messages=9)
    stage.backend.start([bad])
    assert stage.inbox.end(bad).error == "engine_error"
    assert stage.inbox.of(bad)[-1].retryable is retryable


@pytest.mark.parametrize(
    ("reason", "finish_reason", "error"),
    [
        ("stop", "stop", None),
        ("length", "length", None),
        ("repetition", "repetition", None),
        ("error", None, "error"),
        ("abort", None, "abort"),
        (None, None, None),
    ],
)
def test_vllms_finish_reasons(reason: str | None, finish_reason: str | None, error: str | None) -> None:
    """Its `repetition` is an end that the engine was told to look for; `error` and `abort` are no ends of an answer."""
    completion = SimpleNamespace(text="a", token_ids=[1], finish_reason=reason, stop_reason=None)
    finished = reason is not None
    output = SimpleNamespace(request_id="job/1", outputs=[completion], finished=finished, num_cached_tokens=None)
    config = SimpleNamespace(get_diff_sampling_param=dict)
    (produced,) = VllmEngine(SimpleNamespace(model_config=config, step=lambda: [output]), Conversation()).step()
    assert (produced.finish_reason, produced.error) == (finish_reason, error)


def test_an_answer_that_vllm_gave_up_may_be_tried_again() -> None:
    class GivingUp(ScriptedEngine):
        gives_up = False

        def _produce(self, request_id: str) -> Produced:
            if not self.gives_up:
                return super()._produce(request_id)
            del self.running[request_id]
            return Produced(request_id, "", (), None, "error", True)

    stage = Loaded(engine := GivingUp())
    engine.gives_up = True  # once it is warm
    stage.backend.start([given_up := stage.dispatch()])
    assert stage.inbox.end(given_up).error_message == FAILED
    assert stage.inbox.of(given_up)[-1].retryable
    stage.backend.close()


def test_a_dead_engine_is_a_death(stage: Loaded) -> None:
    stage.engine.invalid = EngineDead("it is gone")
    stage.backend.start([stage.dispatch(messages=9)])
    stage.inbox.wait(lambda: bool(stage.inbox.deaths))
    assert str(stage.inbox.deaths[0]) == "EngineDead: it is gone"


def test_an_idle_engine_that_is_killed_is_a_death(stage: Loaded) -> None:
    stage.engine.kill(ChildProcessError("killed"))
    stage.inbox.wait(lambda: bool(stage.inbox.deaths))
    assert str(stage.inbox.deaths[0]) == "ChildProcessError: killed"


@pytest.mark.parametrize(
    "resume",
    [
        Output("Hex", tuple(map(ord, "Hel")), (1, 2, 3), 1),
        Output("He", tuple(map(ord, "Hel")), (1, 2, 3), 1),
        Output("He", (*map(ord, "He"), 0), (1, 2, 2), 1),
    ],
    ids=["another text", "less text", "half a character"],
)
def test_a_job_does_not_go_on_from_what_is_not_the_text_of_its_tokens(stage: Loaded, resume: Output) -> None:
    good = stage.dispatch()
    output, end = stage.subject.run(stage.subject.dispatch(resume, attempt=2))
    assert (output, end.error) == (Output(), "engine_error")
    assert end.error_message == f"{FAILED}: it cannot go on from what it has"
    assert stage.subject.run(good)[1].finish_reason == "stop"


def test_a_schema_for_a_model_without_structured_outputs_is_refused(stage: Loaded) -> None:
    _, end = stage.subject.run(stage.dispatch(json_schema="{}"))
    assert end.error_message == "json_schema: this model has no structured outputs"


def test_a_resumed_structured_answer_that_begins_anew_is_no_model_to_serve() -> None:
    class Forgetful(ScriptedEngine):
        def add(self, request_id: str, wanted: Wanted) -> None:
            super().add(request_id, replace(wanted, resumed=()))

    engine = Forgetful(structured=True)
    inbox = Inbox()
    backend = VllmBackend(MODEL, "org/m", lambda *_: engine)
    with pytest.raises(BackendDied, match="began a resumed structured answer anew"):
        backend.load(inbox.sink, inbox.died)
    backend.close()
    assert engine.is_shut_down


def test_what_the_engine_cannot_be_made_of_is_the_reason() -> None:
    inbox = Inbox()
    backend = VllmBackend(MODEL, "/nowhere/at/all")
    with pytest.raises(BackendDied, match="there is no folder /nowhere/at/all"):
        backend.load(inbox.sink, inbox.died)
    backend.close()
    assert inbox.deaths == []


def test_what_was_in_the_cache_is_told_with_the_first_chunk(stage: Loaded) -> None:
    dispatch = stage.dispatch()
    stage.backend.start([dispatch])
    stage.inbox.end(dispatch)
    told = [chunk.cached_tokens for chunk in stage.inbox.of(dispatch)]
    assert told == [32] + [None] * (len(told) - 1)


@pytest.mark.parametrize(
    ("enabled", "size", "told"), [(True, 1000, (1000, 16)), (True, None, (1600, 16)), (False, 1000, (1000, 0))]
)
def test_what_vllm_says_of_its_cache(enabled: bool, size: int | None, told: tuple[int, int]) -> None:
    cache = SimpleNamespace(enable_prefix_caching=enabled, block_size=16, num_gpu_blocks=100, kv_cache_size_tokens=size)
    model = SimpleNamespace(get_diff_sampling_param=dict)
    inside = SimpleNamespace(model_config=model, vllm_config=SimpleNamespace(cache_config=cache))
    engine = VllmEngine(inside, Conversation())
    assert (engine.cache_tokens, engine.block_tokens) == told
