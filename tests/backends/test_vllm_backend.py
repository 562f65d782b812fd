"""The real backend passes the suite of all backends, with the built-in model on CPU.

vLLM takes 40 s to start: the suite shares one engine.
"""

import json
import os
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import jsonschema
import psutil
import pytest
from msgspec.structs import replace

from actors.backends import create
from actors.backends.base import Backend, BackendDied
from actors.backends.builtin import resolve_source
from cluster.catalogue import Model
from cluster.measures import engine_times
from cluster.messages.work import UNTOLD, ChatMessage, Dispatch, Failed, Finished, Form, Output
from cluster.text.answers import choices
from cluster.text.token_log import TokenLog
from tests.support.backend_suite import BackendSuite, Inbox, Subject, joined, threads_since

# Not importorskip: vLLM must not be imported before its environment is set.
pytestmark = [
    pytest.mark.usefixtures("environment"),
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed"),
]

SOURCE = "builtin:capitals"
QUESTION = (ChatMessage("user", "What is the capital of Brazil?"),)
"""The answer has a character of two bytes."""

CITY = {
    "type": "object",
    "properties": {
        "city": {"enum": ["Brasília", "São Paulo"]},
        "kind": {"anyOf": [{"const": "capital"}, {"type": "null"}]},
        "people": {"type": "integer", "minimum": 1, "maximum": 999},
        "names": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 8}, "minItems": 2},
        "next": {"$ref": "#/$defs/City"},
    },
    "required": ["city", "kind", "people", "names"],
    "additionalProperties": False,
    "$defs": {"City": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 5}}}},
}
CITY["properties"]["names"]["maxItems"] = 2  # type: ignore[index]
SCHEMAS: list[dict[str, Any]] = [
    CITY,
    {"type": "string", "maxLength": 12},
    {"type": "array", "items": {"type": "integer", "minimum": -9, "maximum": 9}, "minItems": 3, "maxItems": 5},
    {"enum": ["Brasília", "São Paulo"]},
    {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$"},
    {"anyOf": [{"type": "null"}, {"type": "boolean"}]},
    {"type": "object", "properties": {"on": {"type": "string", "format": "date"}}, "required": ["on"]},
]


SHARED = {"infernet", "postgres"}


def processes() -> set[psutil.Process]:
    """Those below this one, but for multiprocessing's resource tracker, which stays, and servers that tests share."""
    found: set[psutil.Process] = set()
    for child in psutil.Process().children():
        command = child.cmdline()
        if "resource_tracker" not in " ".join(command) and SHARED.isdisjoint(map(os.path.basename, command)):
            found |= {child, *child.children(recursive=True)}
    return found


def backend(source: str = SOURCE, **engine: Any) -> Backend:
    return create(Model(id="capitals", source=source, gpus=0, engine=engine), resolve_source(source))


@pytest.fixture(scope="module")
def loaded() -> Iterator[Subject]:
    before, processes_before = threading.enumerate(), processes()
    inbox = Inbox()
    capitals = backend(max_model_len=512, max_num_seqs=32)
    loaded = capitals.load(inbox.sink, inbox.died)
    assert {name: times.count for name, times in capitals.times.items()} == dict.fromkeys(engine_times.BOUNDS, 0)

    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(resolve_source(SOURCE))
    yield Subject(capitals, inbox, loaded, QUESTION, lambda ids: tokenizer.decode(ids, skip_special_tokens=True))
    capitals.close()
    capitals.close()
    assert processes() <= processes_before
    assert {name for name in threads_since(before) if name.startswith("vllm")} == set()


class TestVllm(BackendSuite):
    @pytest.fixture
    def subject(self, loaded: Subject) -> Subject:
        return loaded

    def test_says_what_it_offers(self, subject: Subject) -> None:
        assert subject.loaded.slots == 36
        assert subject.loaded.context_length == 512
        assert len(processes()) == 1

    def test_answers(self, subject: Subject) -> None:
        output, _, end = subject.undisturbed()
        assert output.text == "Brasília is the capital of Brazil."
        assert end.finish_reason == "stop"

    def test_tells_vllms_own_figures(self, subject: Subject) -> None:
        before, counted = subject.backend.figures, {name: each.count for name, each in subject.backend.times.items()}
        _, _, end = subject.undisturbed()
        after, times = subject.backend.figures, subject.backend.times
        counted = {name: each.count - counted[name] for name, each in times.items()}
        between = end.usage.completion_tokens - 1
        assert counted == {name: between if name == engine_times.INTER_TOKEN else 1 for name in engine_times.BOUNDS}
        assert all(each.sum < 600 for each in times.values()), "of one clock"
        assert times[engine_times.WHOLE].sum > times[engine_times.DECODE].sum > 0
        assert before is not None
        assert after is not None
        assert after.generation_tokens - before.generation_tokens == end.usage.completion_tokens
        assert after.prompt_tokens - before.prompt_tokens == end.usage.prompt_tokens
        assert after.request_success["stop"] == before.request_success.get("stop", 0) + 1
        assert after.prefix_cache_queries > before.prefix_cache_queries
        assert (after.num_requests_running, after.num_requests_waiting, after.kv_cache_usage_perc) == (0, 0, 0.0)


def options(loaded: Subject) -> dict[str, dict[str, Any]]:
    """Ways to draw tokens of which each changes the answer, by what each is about."""
    plain, _, _ = loaded.undisturbed()
    first, second = plain.token_ids[:2]
    return {
        "presence": {"others": {"presence_penalty": 2.0}, "min_tokens": 24},
        "frequency": {"others": {"frequency_penalty": 1.5}, "min_tokens": 24},
        "repetition": {"others": {"repetition_penalty": 2.5}, "min_tokens": 24},
        "all penalties": {
            "others": {"presence_penalty": 1.0, "frequency_penalty": 0.5, "repetition_penalty": 1.2},
            "min_tokens": 24,
        },
        "min_tokens": {"min_tokens": 20},
        "ignore_eos": {"others": {"ignore_eos": True}, "max_tokens": 30, "skip_special_tokens": False},
        "bias": {"others": {"logit_bias": {str(first): -100.0}}},
        "allowed": {"others": {"allowed_token_ids": [second, *plain.token_ids[3:6]]}, "max_tokens": 12},
        "bad words": {"others": {"bad_words": ["is"]}},
        "stop token": {"others": {"stop_token_ids": [plain.token_ids[4]]}},
        "stop token, included": {
            "others": {"stop_token_ids": [plain.token_ids[4]]},
            "include_stop_str_in_output": True,
        },
        "stop, included": {"stop": ("capital of",), "include_stop_str_in_output": True},
        "stop, but not yet": {"stop": ("a",), "min_tokens": 8},
        "repeats": {
            "others": {"repetition_detection": {"max_pattern_size": 12, "min_count": 2}, "ignore_eos": True},
            "max_tokens": 60,
        },
    }


class TestSampling:
    """Whatever says how tokens are drawn holds wherever an answer goes on."""

    def test_each_option_changes_the_answer(self, loaded: Subject) -> None:
        plain, _, plain_end = loaded.undisturbed()
        for name, fields in options(loaded).items():
            answer, end = loaded.run(loaded.dispatch(**fields))
            assert (answer.text, end) != (plain.text, plain_end), name

    def test_an_answer_goes_on_from_every_token_as_if_nothing_had_happened(self, loaded: Subject) -> None:
        for name, fields in options(loaded).items():
            whole = loaded.dispatch(**fields)
            full, full_end = loaded.run(whole)
            cuts = [Output()]
            for chunk in loaded.inbox.of(whole)[:-1]:
                cuts.append(joined([chunk], cuts[-1]))
            resumed = [loaded.dispatch(cut, attempt=2, **fields) for cut in cuts]
            loaded.backend.start(resumed)
            for cut, dispatch in zip(cuts, resumed, strict=True):
                assert loaded.inbox.end(dispatch) == full_end, (name, len(cut.token_ids))
                assert joined(loaded.inbox.of(dispatch), cut).text == full.text, (name, len(cut.token_ids))

    def test_what_vllm_refuses_is_told_in_its_words(self, loaded: Subject) -> None:
        _, end = loaded.run(loaded.dispatch(others={"allowed_token_ids": [10**6]}))
        assert isinstance(end, Failed)
        assert end.error_message.startswith("The engine could not generate this answer: allowed_token_ids")


PROMPTS = [
    f"<|im_start|>user\nWhat is the capital of {name}?<|im_end|>\n<|im_start|>assistant\n"
    for name in ("Brazil", "Peru")
]
BATCH: dict[str, Any] = {"prompt": [*PROMPTS, "The capital"], "echo": True, "logprobs": 1, "max_tokens": 24}


class TestCompletions:
    """A batch of prompts is one job, and each of its answers goes on where it was."""

    def batch(self, loaded: Subject, resume: Output = UNTOLD, attempt: int = 1) -> Dispatch:
        asked = {"logprobs": 1, "prompt_logprobs": 1}
        dispatch = loaded.dispatch(resume, attempt, max_tokens=24, others=asked, return_token_ids=True)
        form = Form("completion", json.dumps(BATCH), "prompt", len(BATCH["prompt"]))
        return replace(dispatch, job=replace(dispatch.job, messages=(), form=form))

    def log(self, loaded: Subject, dispatch: Dispatch) -> TokenLog:
        """All that is known of it at its end."""
        assert isinstance(loaded.inbox.end(dispatch), Finished)
        log = TokenLog(dispatch.resume)
        for chunk in loaded.inbox.of(dispatch):
            log.append(chunk.text, chunk.token_ids, chunk.ends, chunk.marks)
        return log

    def answers(self, log: TokenLog) -> list[Any]:
        """What each choice says, with its tokens by name: logprobs themselves differ in their last digits."""
        return [
            (
                choice.content,
                choice.token_ids,
                [entry["token"] for entry in json.loads(f"[{','.join(choice.logprobs)}]")],
                choice.stopped and (choice.stopped.finish_reason, choice.stopped.tokens),
                choice.prompt and (choice.prompt.ids, choice.prompt.text, choice.prompt.first),
                choice.prompt and len(json.loads(choice.prompt.logprobs)),
            )
            for choice in choices(log.text, log.marks, len(BATCH["prompt"]))
        ]

    def test_a_batch_goes_on_from_every_token(self, loaded: Subject) -> None:
        whole = self.batch(loaded)
        loaded.backend.start([whole])
        log = self.log(loaded, whole)
        answers = self.answers(log)
        assert [content for content, *_ in answers][:2] == [
            "Brasília is the capital of Brazil.",
            "Lima is the capital of Peru.",
        ]
        assert [told[1] for *_, told, _ in answers] == BATCH["prompt"]
        resumed = []
        for tokens in range(len(log.token_ids)):
            kept = TokenLog(log.output())
            kept.cut(tokens)
            resumed.append(self.batch(loaded, kept.output(), attempt=2))
        loaded.backend.start(resumed)
        for dispatch in resumed:
            assert self.answers(self.log(loaded, dispatch)) == answers, len(dispatch.resume.token_ids)


class TestStructured:
    """An answer follows its schema, wherever it was begun."""

    def test_schemas_are_followed_in_one_batch(self, loaded: Subject) -> None:
        full, _, _ = loaded.undisturbed()
        constrained = [(schema, loaded.dispatch(json_schema=json.dumps(schema))) for schema in SCHEMAS]
        free = [loaded.dispatch() for _ in SCHEMAS]
        pairs = zip(constrained, free, strict=True)
        loaded.backend.start([dispatch for (_, left), right in pairs for dispatch in (left, right)])
        for schema, dispatch in constrained:
            assert loaded.inbox.end(dispatch).finish_reason == "stop"
            jsonschema.validate(json.loads(loaded.inbox.output(dispatch).text), schema)
        for dispatch in free:
            assert loaded.inbox.end(dispatch).finish_reason == "stop"
            assert loaded.inbox.output(dispatch).text == full.text

    @pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: str(next(iter(schema))))
    def test_goes_on_from_every_token(self, loaded: Subject, schema: dict[str, Any]) -> None:
        text = json.dumps(schema)
        whole = loaded.dispatch(json_schema=text)
        full, full_end = loaded.run(whole)
        cuts = [Output()]
        for chunk in loaded.inbox.of(whole):
            cuts.append(joined([chunk], cuts[-1]))
        assert cuts[-1] == full
        resumed = [loaded.dispatch(cut, attempt=2, json_schema=text) for cut in cuts]
        loaded.backend.start(resumed)
        for cut, dispatch in zip(cuts, resumed, strict=True):
            assert loaded.inbox.end(dispatch) == full_end
            assert joined(loaded.inbox.of(dispatch), cut) == full

    def test_max_tokens_cuts_it_off(self, loaded: Subject) -> None:
        full, _ = loaded.run(loaded.dispatch(json_schema=json.dumps(CITY)))
        output, end = loaded.run(loaded.dispatch(json_schema=json.dumps(CITY), max_tokens=7))
        assert end.finish_reason == "length"
        assert full.text.startswith(output.text)

    def test_a_stop_string_ends_it_wherever_it_was_begun(self, loaded: Subject) -> None:
        text, stop = json.dumps(CITY), ('"people',)
        full, _ = loaded.run(loaded.dispatch(json_schema=text))
        whole = loaded.dispatch(json_schema=text, stop=stop)
        stopped, end = loaded.run(whole)
        assert end.finish_reason == "stop"
        assert stopped.text == full.text[: full.text.index(stop[0])]
        cut = Output()
        for chunk in loaded.inbox.of(whole)[:-1]:
            cut = joined([chunk], cut)
            rest, end = loaded.run(loaded.dispatch(cut, attempt=2, json_schema=text, stop=stop))
            assert cut.text + rest.text == stopped.text
            assert end.finish_reason == "stop"

    @pytest.mark.parametrize(
        ("schema", "message"),
        [
            ({"type": "integer", "multipleOf": 3}, "json_schema: 'multipleOf' is not supported"),  # ours to know
            ({"type": "string", "pattern": "["}, "json_schema: Failed to transform json schema"),  # vLLM's to know
            ({"$ref": "#"}, "The engine could not generate this answer"),  # no text follows it
        ],
    )
    def test_a_bad_schema_ends_its_job_alone(self, loaded: Subject, schema: dict[str, Any], message: str) -> None:
        neighbours = [loaded.dispatch(json_schema=json.dumps(CITY)), loaded.dispatch()]
        expected = [loaded.run(loaded.dispatch(json_schema=json.dumps(CITY))), loaded.run(loaded.dispatch())]
        bad = loaded.dispatch(json_schema=json.dumps(schema))
        loaded.backend.start([neighbours[0], bad, neighbours[1]])
        end = loaded.inbox.end(bad)
        assert isinstance(end, Failed)
        assert (end.error, end.error_message.startswith(message)) == ("engine_error", True)
        assert "/project/" not in end.error_message
        for dispatch, (output, ending) in zip(neighbours, expected, strict=True):
            assert loaded.inbox.end(dispatch) == ending
            assert loaded.inbox.output(dispatch) == output

    def test_tokens_that_do_not_follow_the_schema_end_their_job_alone(self, loaded: Subject) -> None:
        full, _, full_end = loaded.undisturbed()
        bad, good = loaded.dispatch(full, attempt=2, json_schema=json.dumps(CITY)), loaded.dispatch()
        loaded.backend.start([bad, good])
        failed = loaded.inbox.end(bad)
        assert isinstance(failed, Failed)
        assert failed.error == "engine_error"
        assert loaded.inbox.output(bad) == Output()
        assert loaded.inbox.end(good) == full_end
        assert loaded.inbox.deaths == []


@pytest.mark.parametrize(
    ("source", "engine", "reason"),
    [
        ("/nowhere/at/all", {}, "there is no folder /nowhere/at/all"),
        (SOURCE, {"max_model_len": 99_999}, r"max_model_len \(99999\) is greater than the derived"),
        (SOURCE, {"max_modellen": 512}, "unexpected keyword argument 'max_modellen'"),
        (
            SOURCE,
            {"num_gpu_blocks_override": 1},
            "No available memory for the cache",
        ),  # found out by the engine's own process
    ],
)
def test_load_failure_tells_vllms_reason(source: str, engine: dict[str, Any], reason: str) -> None:
    inbox = Inbox()
    broken = backend(source, **engine)
    before = processes()
    with pytest.raises(BackendDied, match=reason) as failure:
        broken.load(inbox.sink, inbox.died)
    assert "\n" not in str(failure.value)
    broken.close()
    assert processes() <= before
    assert inbox.deaths == []


def test_without_our_plugin_a_model_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its resumed structured answers would be corrupted."""
    monkeypatch.setenv("VLLM_PLUGINS", "another")
    inbox = Inbox()
    broken = backend(max_model_len=512)
    with pytest.raises(BackendDied, match="began a resumed structured answer anew"):
        broken.load(inbox.sink, inbox.died)
    broken.close()
    assert inbox.deaths == []


def test_a_killed_engine_is_a_death() -> None:
    inbox = Inbox()
    doomed, before = backend(max_model_len=512), processes()
    doomed.load(inbox.sink, inbox.died)
    [process] = processes() - before
    process.kill()
    inbox.wait(lambda: bool(inbox.deaths))
    doomed.close()
    assert "engine process was killed" in str(inbox.deaths[0])
    assert processes() <= before
    assert len(inbox.deaths) == 1
