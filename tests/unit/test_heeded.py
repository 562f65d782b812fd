"""Fields that nobody heeds: refused where somebody would rely on them, with the name that is meant."""

import ast
import json
from collections.abc import Callable
from typing import Any

import openai
import pytest

from actors.backends.vllm.sources import source
from api.accounts.schemas import AccountPatch, AccountRequest
from api.http.bodies import Request, parse
from api.http.heeded import ELSEWHERE, HINTS, NOWHERE
from api.jobs.schemas import JobRequest
from api.keys.schemas import KeyRequest
from api.openai.requests import ChatCompletionRequest, parse_chat
from api.openai.text_completions import CompletionRequest, parse_completion
from api.openai.unsupported import UnsupportedFields
from cluster.errors import BadRequest
from cluster.nearest import hint, nearest

DIALOGUE: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
BUDGET = {"unit": "tokens", "amount": 1, "period": "all"}


def refusal(take: Callable[[bytes], Any], body: dict[str, Any]) -> str:
    with pytest.raises(BadRequest) as caught:
        take(json.dumps(body).encode())
    return caught.value.message


def as_a_job(body: bytes) -> JobRequest:
    return parse(JobRequest, body)


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        (KeyRequest, {"name": "x", "expire_at": "2027-01-01"}, "expire_at: unknown field; did you mean expires_at?"),
        (KeyRequest, {"name": "x", "expiresAt": "2027-01-01"}, "expiresAt: unknown field; did you mean expires_at?"),
        (KeyRequest, {"name": "x", "expire_at": None}, "expire_at: unknown field; did you mean expires_at?"),
        (KeyRequest, {"name": "x", "account_id": "a"}, "account_id: unknown field; did you mean account?"),
        (KeyRequest, {"name": "x", "model": ["m"]}, "model: unknown field; did you mean models?"),
        (KeyRequest, {"name": "x", "scopes": []},
         "scopes: unknown field; known are name, expires_at, limits, budget, models, account, role"),
        (KeyRequest, {"name": "x", "limits": {"rpm": 5}},
         "limits.rpm: unknown field; known are submissions_per_minute, submissions_per_hour, reads_per_minute, "
         "tokens_per_minute"),
        (KeyRequest, {"name": "x", "limits": {"submission_per_minute": 5}},
         "limits.submission_per_minute: unknown field; did you mean submissions_per_minute?"),
        (KeyRequest, {"name": "x", "budget": BUDGET | {"periods": "month"}},
         "budget.periods: unknown field; did you mean period?"),
        (AccountRequest, {"name": "x", "budgets": BUDGET}, "budgets: unknown field; did you mean budget?"),
        (AccountRequest, {"name": "x", "max_queue": 5}, "max_queue: unknown field; did you mean max_queued?"),
        (AccountPatch, {"weigth": 5}, "weigth: unknown field; did you mean weight?"),
        (AccountPatch, {"budgets": None}, "budgets: unknown field; did you mean budget?"),
        (AccountPatch, {"limits": {"tokens_per_hour": 5}},
         "limits.tokens_per_hour: unknown field; did you mean tokens_per_minute?"),
    ],
)  # fmt: skip
def test_what_would_keep_somebody_from_something_is_known(
    kind: type[Request], body: dict[str, Any], message: str
) -> None:
    assert refusal(lambda sent: parse(kind, sent), body) == message


@pytest.mark.parametrize("take", [as_a_job, parse_chat])
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_token": 5}, "max_token: unknown field; did you mean max_tokens?"),
        ({"temprature": 0}, "temprature: unknown field; did you mean temperature?"),
        ({"topP": 0.5}, "topP: unknown field; did you mean top_p?"),
        ({"enable_thinking": False}, "enable_thinking: unknown field; here it is chat_template_kwargs"),
        ({"guided_json": {}}, "guided_json: unknown field; here it is structured_outputs"),
        ({"max_new_tokens": 5}, "max_new_tokens: unknown field; here it is max_tokens"),
        ({"repeat_penalty": 1.1}, "repeat_penalty: unknown field; here it is repetition_penalty"),
        ({"stop_sequences": ["a"]}, "stop_sequences: unknown field; here it is stop"),
        ({"system": "Be brief."}, "system: unknown field; here it is messages"),
        ({"mirostat": 2}, "mirostat: is not offered here"),
        ({"audio": {"voice": "alloy"}}, "audio: is not offered here"),
        ({"use_beam_search": True}, "use_beam_search: is not offered here"),
        ({"response_format": {"type": "json_object", "schema": {}}},
         "response_format.schema: has its place in json_schema, beside its name, and type is json_schema then"),
        ({"response_format": {"type": "json_object", "json_schema": {"name": "a", "schema": {}}}},
         "response_format.json_schema: goes with type json_schema, not json_object"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "shema": {}}}},
         "response_format.json_schema.shema: unknown field; did you mean schema?"),
        ({"messages": [{"role": "assistant", "content": "", "tool_call": []}]},
         "messages[0].tool_call: unknown field; did you mean tool_calls?"),
    ],
)  # fmt: skip
def test_what_would_change_an_answer_is_refused_by_its_name(
    take: Callable[[bytes], Any], fields: dict[str, Any], message: str
) -> None:
    assert refusal(take, DIALOGUE | fields) == message


@pytest.mark.parametrize("take", [as_a_job, parse_chat])
@pytest.mark.parametrize(
    "fields",
    [
        {"user": "u", "store": False, "service_tier": "auto", "verbosity": "low", "session_id": "s"},
        {"nobody_knows": {"this": 1}, "chat_id": "x", "id": "y"},
        {"max_token": None, "audio": None, "enable_thinking": None},
        {"modalities": ["text"], "functions": [], "use_beam_search": False},
        {"messages": [{"role": "user", "content": "Hi", "refusal": None, "annotations": []}]},
        {str(number): number for number in range(10_000)},
    ],
    ids=["hints", "unknown", "nulls", "harmless", "messages", "many"],
)
def test_what_changes_nothing_is_taken(take: Callable[[bytes], Any], fields: dict[str, Any]) -> None:
    take(json.dumps(DIALOGUE | fields).encode())


def test_what_only_one_of_two_apis_has() -> None:
    assert refusal(as_a_job, DIALOGUE | {"max_completion_tokens": 5}) == (
        "max_completion_tokens: unknown field; here it is max_tokens"
    )
    assert refusal(as_a_job, DIALOGUE | {"stream_options": {}}) == "stream_options: is not offered here"
    assert refusal(parse_chat, DIALOGUE | {"stream": True, "stream_options": {"usage": True}}).startswith(
        "stream_options.usage: unknown field"
    )
    assert refusal(parse_chat, DIALOGUE | {"length_penalty": 2}) == "length_penalty: is not offered here"
    prompt = {"model": "m", "prompt": "Hi"}
    assert refusal(parse_completion, prompt | {"best_of": 2}) == "best_of: unknown field; here it is n"
    assert refusal(parse_completion, prompt | {"length_penalty": 2}) == "length_penalty: is not offered here"
    assert refusal(parse_completion, prompt | {"logprob": 2}) == "logprob: unknown field; did you mean logprobs?"


def test_thoughts_have_an_earlier_name() -> None:
    said = [{"role": "assistant", "content": "Hi", "reasoning_content": "Hm"}]
    assert as_a_job(json.dumps(DIALOGUE | {"messages": said}).encode()).messages[0].reasoning == "Hm"


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("max-model-len", ["max_model_len", "model"], "max_model_len"),
        ("maxModelLen", ["max_model_len", "model"], "max_model_len"),
        ("max_model_length", ["max_model_len", "max_num_seqs"], "max_model_len"),
        ("PORT", ["host", "port"], "port"),
        ("max_completion_tokens", ["min_tokens", "max_tokens"], "max_tokens"),
        ("x", ["host", "port"], None),
        ("y" * 1_000_000, ["y"], None),
    ],
)
def test_the_nearest_name(name: str, known: list[str], meant: str | None) -> None:
    assert nearest(name, known) == meant
    assert hint(name, known) == (f"; did you mean {meant}?" if meant else f"; known are {', '.join(known)}")


@pytest.mark.parametrize(
    ("kind", "file", "offered"),
    [
        ("ChatCompletionRequest", "chat_completion", ChatCompletionRequest),
        ("CompletionRequest", "completion", CompletionRequest),
    ],
)
def test_every_field_of_vllms_requests_is_known(kind: str, file: str, offered: type[Request]) -> None:
    theirs = fields_of(kind, f"entrypoints/openai/{file}/protocol.py")
    assert len(theirs) > 40
    assert theirs - offered.model_fields.keys() - HINTS - NOWHERE == set()


def test_every_field_of_openais_requests_is_known() -> None:
    chat = set(openai.types.chat.completion_create_params.CompletionCreateParamsBase.__annotations__)
    text = set(openai.types.completion_create_params.CompletionCreateParamsBase.__annotations__)
    assert chat - ChatCompletionRequest.model_fields.keys() - HINTS == set()
    assert text - CompletionRequest.model_fields.keys() - HINTS - ELSEWHERE.keys() == set()
    ours = JobRequest.model_fields.keys() | UnsupportedFields.model_fields.keys()
    assert chat - ours - HINTS - ELSEWHERE.keys() - NOWHERE == set()


def fields_of(kind: str, file: str) -> set[str]:
    """The fields of one of vLLM's requests, by its source."""
    (found,) = (node for node in source(file) if isinstance(node, ast.ClassDef) and node.name == kind)
    targets = [each.target for each in found.body if isinstance(each, ast.AnnAssign)]
    names = {target.id for target in targets if isinstance(target, ast.Name)}
    return {name for name in names if not name.startswith("_")}
