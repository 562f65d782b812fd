"""What requests of OpenAI's API ask for here, and what of them is refused by name."""

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from api.openai.error_shape import error_body, error_headers, failure_body, failure_headers, failure_status
from api.openai.requests import parse_chat
from cluster.errors import (
    BadRequest,
    BudgetExceeded,
    Conflict,
    ContextLengthExceeded,
    Forbidden,
    InfernetError,
    InternalError,
    ModelNotFound,
    NoCapacity,
    RateLimited,
    Unauthorized,
)
from cluster.messages.money import Usage
from cluster.messages.work import AS_CONTEXT_LEAVES, ChatMessage, Failed, Order, Sampling
from cluster.overflow import overflow, tells_of_overflow

BODY: Any = {"model": "sim", "messages": [{"role": "user", "content": "Hi"}]}
NOTHING_SAID = Sampling(AS_CONTEXT_LEAVES, temperature=None, top_p=None)


def order(**fields: Any) -> Order:
    body = json.dumps(BODY | fields).encode()
    return asyncio.run(parse_chat(body).order(body))


def param_of_refusal(**fields: Any) -> str | None:
    with pytest.raises(BadRequest) as refused:
        order(**fields)
    return error_body(refused.value)["error"]["param"]


def test_defaults() -> None:
    asked = order()
    assert asked.model == "sim"
    assert asked.messages == (ChatMessage("user", "Hi"),)
    assert (asked.sampling, asked.metadata, asked.form) == (NOTHING_SAID, {}, None)


def test_everything() -> None:
    asked = order(
        max_tokens=3, max_completion_tokens=4, temperature=0, top_p=0.5, stop=["a", "b"], seed=-1, metadata={"k": "v"}
    )
    assert asked.sampling == Sampling(max_tokens=4, temperature=0.0, top_p=0.5, stop=("a", "b"), seed=-1)
    assert asked.metadata == {"k": "v"}
    assert order(max_tokens=3, stop="a").sampling == replace(NOTHING_SAID, max_tokens=3, stop=("a",))


NOTHING_ASKED: list[dict[str, Any]] = [
    {"n": 1},
    {"n": None},
    {"frequency_penalty": 0, "presence_penalty": 0.0},
    {"tool_choice": "none", "parallel_tool_calls": True},
    {"tool_choice": "none", "functions": [], "function_call": "none"},
    {"logprobs": False, "top_logprobs": 0, "logit_bias": {}},
    {"modalities": ["text"], "audio": None, "prediction": None},
    {"prediction": {"type": "content", "content": "x"}, "priority": 3, "store": False},
    {"verbosity": "low", "structured_outputs": None, "include_reasoning": True, "echo": False},
    {"add_generation_prompt": True, "chat_template_kwargs": {}, "documents": [], "mm_processor_kwargs": None},
    {"user": "me", "store": True, "service_tier": "auto", "safety_identifier": "x", "prompt_cache_key": "y"},
    {"response_format": {"type": "text"}},
    {"made_up": {"by": "somebody"}},
]


@pytest.mark.parametrize("fields", NOTHING_ASKED, ids=str)
def test_what_asks_for_nothing_changes_nothing(fields: dict[str, Any]) -> None:
    asked = order(**fields)
    assert (asked.sampling, asked.form) == (NOTHING_SAID, None)


def test_vllms_fields_are_passed_on_by_vllms_names() -> None:
    fields = {
        "presence_penalty": 1,
        "frequency_penalty": -0.5,
        "repetition_penalty": 1.1,
        "top_k": 5.0,
        "min_p": 0.1,
        "ignore_eos": True,
        "stop_token_ids": [7],
        "logit_bias": {"3": -100.0},
        "allowed_token_ids": [1, 2],
        "bad_words": ["x"],
        "repetition_detection": {"max_pattern_size": 3, "min_pattern_size": 0, "min_count": 4},
        "vllm_xargs": {"a": [1, "b"]},
    }
    ours = {"min_tokens": 3, "include_stop_str_in_output": True, "skip_special_tokens": False}
    sampling = order(**fields, **ours).sampling
    assert sampling.others == fields
    assert sampling == replace(NOTHING_SAID, others=sampling.others, **ours)


def test_an_answer_cannot_have_to_be_longer_than_it_may_be() -> None:
    with pytest.raises(BadRequest, match=r"^min_tokens: must not be more than max_tokens, which is 3$"):
        order(max_tokens=3, min_tokens=4)
    assert order(min_tokens=4).sampling == replace(NOTHING_SAID, min_tokens=4)


def test_there_may_be_any_number_of_stop_strings() -> None:
    assert order(stop=["a"] * 5).sampling.stop == ("a",) * 5


@pytest.mark.parametrize("kind", [int, float, str])
def test_a_whole_number_is_one_however_it_is_written(kind: type) -> None:
    assert order(max_tokens=kind(512), seed=kind(3)).sampling == replace(NOTHING_SAID, max_tokens=512, seed=3)


AS_TEXT: list[tuple[str, str, Any]] = [
    ("temperature", "0.5", 0.5),
    ("ignore_eos", "true", True),
    ("min_tokens", "2", 2),
    ("presence_penalty", "1", 1.0),
    ("stop_token_ids", ["7"], [7]),
    ("logit_bias", {"5": "1.5"}, {"5": 1.5}),
    ("add_generation_prompt", "false", False),
    ("logprobs", "true", True),
]


@pytest.mark.parametrize(("field", "text", "value"), AS_TEXT)
def test_numbers_and_truths_may_be_texts_as_vllm_reads_them(field: str, text: str, value: Any) -> None:
    said, meant = order(**{field: text}), order(**{field: value})
    assert (said.sampling, said.body_hash) == (meant.sampling, meant.body_hash)


def test_a_stream_may_be_asked_for_in_texts() -> None:
    body = json.dumps(BODY | {"stream": "true", "stream_options": {"include_usage": "true"}}).encode()
    request = parse_chat(body)
    assert (request.stream, request.chunks().usage) == (True, True)


def test_bodies_that_mean_the_same_are_the_same() -> None:
    assert order(n=1, user="me", temperature=0.7, stop=None).body_hash == order().body_hash
    assert order(seed=1).body_hash != order().body_hash


TOOL = {"type": "function", "function": {"name": "f"}}
NEED_AN_ENGINE: list[tuple[str, Any]] = [
    ("tools", [TOOL]),
    ("tool_choice", "required"),
    ("tool_choice", {"type": "function", "function": {"name": "f"}}),
    ("chat_template_kwargs", {"enable_thinking": True}),
    ("continue_final_message", True),
    ("add_generation_prompt", False),
    ("add_special_tokens", True),
    ("documents", [{"text": "x"}]),
    ("echo", True),
    ("return_prompt_text", True),
    ("mm_processor_kwargs", {"a": 1}),
    ("media_io_kwargs", {"image": {}}),
    ("truncate_prompt_tokens", 1),
    ("structured_outputs", {"choice": ["a"]}),
]


@pytest.mark.parametrize(("field", "value"), NEED_AN_ENGINE, ids=str)
def test_what_an_engine_has_to_judge_is_told_to_it_as_it_was_sent(field: str, value: Any) -> None:
    form = order(**{field: value}).form
    assert form is not None
    assert (form.kind, form.why, form.prompts) == ("chat", field, 1)
    assert json.loads(form.body) == {"messages": BODY["messages"], field: value}


@pytest.mark.parametrize(
    ("field", "value"), [("reasoning_effort", "high"), ("reasoning_effort", "none"), ("include_reasoning", False)]
)
def test_what_only_thinking_models_mind_stands_in_no_models_way(field: str, value: Any) -> None:
    form = order(**{field: value}).form
    assert form is not None
    assert (form.why, json.loads(form.body)) == ("", {"messages": BODY["messages"], field: value})


def test_how_tokens_are_drawn_is_judged_by_the_engine_and_not_in_the_form() -> None:
    form = order(logit_bias={"3": 1.0}, temperature=1, stop="x", seed=1, metadata={"k": "v"}, n=2).form
    assert form is not None
    assert (form.why, json.loads(form.body)) == ("logit_bias", {"messages": BODY["messages"]})


def test_choices_and_logprobs_are_told_with_the_sampling() -> None:
    asked = order(n=2, logprobs=True, top_logprobs=3, prompt_logprobs=1)
    assert asked.form is not None and asked.form.why == "n"  # which vLLM does not give of a greedy answer
    assert (asked.sampling.n, asked.sampling.others) == (2, {"logprobs": 3, "prompt_logprobs": 1})
    assert order(logprobs=True).sampling.others == {"logprobs": 0}
    assert param_of_refusal(top_logprobs=3) == "top_logprobs"


def test_whose_usage_is_told_as_it_goes_has_its_tokens_told() -> None:
    assert order(stream=True, stream_options={"continuous_usage_stats": True}).sampling.return_token_ids
    assert not order(stream=True, stream_options={"include_usage": True}).sampling.return_token_ids


def test_structural_tags_are_one_of_vllms_structured_outputs() -> None:
    tag: dict[str, Any] = {"type": "structural_tag", "format": {"type": "const_string", "value": "a"}}
    asked = order(response_format=tag)
    assert asked.sampling.json_schema is None
    assert json.loads(asked.sampling.others["structured_outputs"]["structural_tag"]) == tag
    assert asked.form is not None and asked.form.why == "structured_outputs"


NOT_OFFERED: dict[str, list[Any]] = {
    "functions": [[{"name": "f"}]],
    "function_call": [{"name": "f"}],
    "chat_template": ["{{ messages }}"],
    "kv_transfer_params": [{"a": 1}],
    "use_beam_search": [True],
    "audio": [{"voice": "x", "format": "wav"}],
    "modalities": [["text", "audio"], ["audio"]],
    "web_search_options": [{}],
    "moderation": [{"model": "x"}],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in NOT_OFFERED.items() for value in values], ids=str
)
def test_what_is_not_offered_is_refused_by_name(field: str, value: Any) -> None:
    assert param_of_refusal(**{field: value}) == field


WRONG: list[tuple[str, Any]] = [
    ("n", 0),
    ("n", 129),
    ("n", "two"),
    ("n", 1.5),
    ("n", "1.5"),
    ("tools", {}),
    ("logprobs", 2),
    ("top_logprobs", -2),
    ("truncation_side", "middle"),
    ("model", 1),
    ("model", ""),
    ("messages", []),
    ("temperature", "warm"),
    ("temperature", 2.1),
    ("top_p", 0),
    ("max_tokens", 0),
    ("max_tokens", 1.5),
    ("presence_penalty", 2.5),
    ("frequency_penalty", "2.5"),
    ("repetition_penalty", 0),
    ("logit_bias", {"a": 1}),
    ("stop_token_ids[0]", [-1]),
    ("allowed_token_ids", []),
    ("bad_words[0]", [""]),
    ("min_tokens", -1),
    ("min_p", 1.5),
    ("top_k", -2),
    ("vllm_xargs", {"infernet_resumed_tokens": 1}),
    ("max_completion_tokens", "0"),
    ("stop[0]", [""]),
    ("seed", 2**63),
    ("stream", "perhaps"),
    ("stream_options", {"include_usage": True}),
    ("metadata", {str(number): "" for number in range(17)}),
    ("metadata.a", {"a": 1}),
    ("response_format.type", {"type": "xml"}),
    ("response_format.json_schema", {"type": "json_schema"}),
    ("response_format.json_schema.name", {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}),
    ("response_format.json_schema.schema", {"type": "json_schema", "json_schema": {"name": "a"}}),
]


@pytest.mark.parametrize(("param", "value"), WRONG, ids=str)
def test_what_is_wrong_is_named(param: str, value: Any) -> None:
    assert param_of_refusal(**{param.partition(".")[0].partition("[")[0]: value}) == param


MESSAGES: list[tuple[str, Any]] = [
    ("role", {"role": "", "content": "x"}),
    ("role", {"role": 5, "content": "x"}),
    ("role", {"content": "x"}),
    ("content", {"role": "user", "content": 5}),
    ("content", {"role": "user", "content": [{"text": "x"}]}),
    ("content", {"role": "user", "content": [{"type": "image_url"}, {"type": "text"}, {}]}),
    ("tool_calls", {"role": "assistant", "content": "x", "tool_calls": {"id": "a"}}),
    ("content", {"role": "user", "content": ["x"]}),
    ("content", {"role": "user", "content": [{"type": "text"}]}),
    ("content", {"role": "user", "content": "a\0b"}),
    ("content", {"role": "user", "content": [{"type": "text", "text": "a\0b"}]}),
    ("function_call", {"role": "assistant", "content": "x", "function_call": {"name": "f", "arguments": ""}}),
    ("audio", {"role": "assistant", "content": "x", "audio": {"id": "a"}}),
]


@pytest.mark.parametrize(("param", "message"), MESSAGES, ids=str)
def test_a_message_that_no_model_could_mean_is_refused(param: str, message: Any) -> None:
    assert param_of_refusal(messages=[BODY["messages"][0], message]) == f"messages[1].{param}"


CALLED = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
MORE_THAN_TEXTS: list[tuple[str, dict[str, Any]]] = [
    ("role", {"role": "tool", "content": "x", "tool_call_id": "y"}),
    ("role", {"role": "function", "content": "x", "name": "f"}),
    ("role", {"role": "critic", "content": "x"}),
    ("tool_calls", {"role": "assistant", "tool_calls": [CALLED]}),
    ("tool_calls", {"role": "assistant", "content": None, "tool_calls": [CALLED]}),
    ("reasoning", {"role": "assistant", "content": "x", "reasoning": "I think"}),
    ("content", {"role": "assistant", "content": None}),
    ("content", {"role": "user"}),
    ("content", {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}),
]


@pytest.mark.parametrize(("field", "message"), MORE_THAN_TEXTS, ids=str)
def test_messages_that_are_more_than_texts_are_told_to_the_engine_as_they_were_sent(field: str, message: Any) -> None:
    messages = [BODY["messages"][0], message]
    form = order(messages=messages).form
    assert form is not None
    assert (form.why, json.loads(form.body)) == (f"messages[1].{field}", {"messages": messages})


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"role": "developer", "content": "Hi"}, ChatMessage("system", "Hi")),
        ({"role": "user", "content": "Hi", "name": "Ada"}, ChatMessage("user", "Hi")),
        ({"role": "user", "content": [{"type": "text", "text": "a"}] * 2}, ChatMessage("user", "a\na")),
        ({"role": "user", "content": []}, ChatMessage("user", "")),
    ],
    ids=["developer", "name", "parts", "no parts"],
)
def test_what_any_model_understands_as_texts_is_told_as_texts_too(message: Any, text: ChatMessage) -> None:
    asked = order(messages=[message])
    assert asked.messages == (text,)
    assert asked.form is not None
    assert (asked.form.why, json.loads(asked.form.body)) == ("", {"messages": [message]})


def test_a_single_text_part_is_that_text() -> None:
    asked = order(messages=[{"role": "user", "content": [{"type": "text", "text": "Hi"}]}])
    assert (asked.messages, asked.form) == (order().messages, None)
    assert asked.body_hash == order().body_hash


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"null", b'{"model": "\xff"}', b'{"model": "\\ud800"}'])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_chat(body)
    assert error_body(refused.value)["error"]["param"] is None


# Response formats ---------------------------------------------------------------------------------------------------

SCHEMA = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"enum": ["ä", None]}}, "required": ["b"]}


def schema_format(schema: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, **fields}}


def test_response_formats() -> None:
    assert order(response_format={"type": "json_object"}).sampling.json_schema == '{"type":"object"}'
    wanted = order(response_format=schema_format(SCHEMA, strict=True, description="d")).sampling.json_schema
    # The order of its properties is the order in which they are generated.
    assert wanted == json.dumps(SCHEMA, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize(
    "schema",
    [
        True,
        [],
        "object",
        {"type": "nothing"},
        {"type": "object", "properties": []},
        {"$ref": "#/nowhere"},
        {"enum": ["a\0b"]},
        {"type": "object", "properties": {"a\0b": {"type": "null"}}},
        {"const": 2**64},
        {"type": "number", "minimum": float("inf")},
        {"enum": ["x" * 70_000]},
    ],
    ids=lambda schema: str(schema)[:40],
)
def test_a_schema_that_cannot_be_followed_is_refused(schema: Any) -> None:
    assert param_of_refusal(response_format=schema_format(schema)) == "response_format"


def test_a_schema_that_is_nested_too_deeply_is_refused() -> None:
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(90):
        schema = {"anyOf": [schema]}
    assert param_of_refusal(response_format=schema_format(schema)) == "response_format"


# Errors -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind", "param"),
    [
        (Unauthorized(), "authentication_error", None),
        (BudgetExceeded("No room"), "insufficient_quota", None),
        (Forbidden("model: this key may not use sim"), "permission_error", "model"),
        (ModelNotFound("Model a: b is unknown"), "not_found_error", "model"),
        (Conflict("Idempotency-Key: was used with another body"), "conflict_error", "Idempotency-Key"),
        (BadRequest("messages[0].content: is required"), "invalid_request_error", "messages[0].content"),
        (BadRequest("Request body: must be an object"), "invalid_request_error", None),
        (RateLimited("Too many", 5), "rate_limit_error", None),
        (NoCapacity("None left"), "server_error", None),
        (InternalError(), "server_error", None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, InfernetError) else str(value),
)
def test_errors(error: InfernetError, kind: str, param: str | None) -> None:
    code = _OPENAIS.get(error.code, error.code)
    assert error_body(error) == {"error": {"message": error.message, "type": kind, "param": param, "code": code}}


_OPENAIS = {
    "unauthorized": "invalid_api_key",
    "rate_limited": "rate_limit_exceeded",
    "budget_exceeded": "insufficient_quota",
}


def test_an_overflow_is_told_in_openais_words() -> None:
    told = error_body(ContextLengthExceeded(f"max_tokens: {overflow(100, 91, 10)}"))["error"]
    assert (told["code"], told["param"]) == ("context_length_exceeded", "max_tokens")
    assert told["message"].startswith("This model's maximum context length is 100 tokens.")
    assert tells_of_overflow("This model's maximum context length is 64 tokens. However, you requested 1 output")
    assert not tells_of_overflow("Token id 9 is out of vocabulary")


@pytest.mark.parametrize(
    ("code", "status", "kind", "repeated"),
    [
        ("context_length_exceeded", 400, "invalid_request_error", True),
        ("cancelled", 409, "conflict_error", False),
        ("job_not_found", 404, "not_found_error", True),
        ("engine_error", 500, "server_error", False),
        ("no_capacity", 503, "server_error", True),
        ("node_disconnected", 503, "server_error", True),
        ("timeout", 504, "server_error", False),
    ],
)
def test_failures_of_jobs(code: str, status: int, kind: str, repeated: bool) -> None:
    end = Failed(Usage(), code, "It failed")
    assert failure_status(end) == status
    assert failure_body(end) == {"error": {"message": "It failed", "type": kind, "param": None, "code": code}}
    again = {"Retry-After": "1"} if status == 503 else {}
    assert failure_headers(end) == again | ({} if repeated else {"X-Should-Retry": "false"})


@pytest.mark.parametrize(
    ("error", "repeated"),
    [
        (Conflict("Idempotency-Key: was used with another body"), False),
        (NoCapacity("None left"), True),
        (InternalError(), True),
        (RateLimited("Too many", 5), True),
        (BadRequest("no client repeats this"), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_clients_are_told_not_to_repeat_what_a_repeat_cannot_help(error: InfernetError, repeated: bool) -> None:
    assert error_headers(error) == ({} if repeated else {"X-Should-Retry": "false"})
