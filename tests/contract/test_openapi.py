"""/openapi.json says what this suite has seen. Bodies are held against it by test_schemathesis.py."""

import re
from typing import Any

import pytest

from tests.contract.client import CODES, Api, answered, is_openais

OPERATIONS = {
    ("post", "/api/v1/jobs"): {200, 400, 401, 402, 403, 404, 409, 413, 429, 503},
    ("get", "/api/v1/jobs"): {200, 400, 401, 403, 429},
    ("get", "/api/v1/jobs/{job_id}"): {200, 400, 401, 404, 429},
    ("get", "/api/v1/jobs/{job_id}/stream"): {200, 204, 400, 401, 404, 429},
    ("delete", "/api/v1/jobs/{job_id}"): {204, 401, 404, 409, 429},
    ("post", "/api/v1/jobs/{job_id}/cancel"): {200, 401, 404, 409, 429},
    ("get", "/api/v1/jobs/{job_id}/placement"): {200, 401, 404, 429},
    ("get", "/api/v1/jobs/{job_id}/timeline"): {200, 401, 404, 429},
    ("get", "/api/v1/models"): {200, 400, 401, 429},
    ("get", "/api/v1/models/{model_id}"): {200, 400, 401, 404, 429},
    ("patch", "/api/v1/models/{model_id}"): {200, 400, 401, 403, 404, 413, 429},
    ("post", "/api/v1/models/{model_id}/restart"): {200, 401, 403, 404, 429},
    ("post", "/api/v1/models/{model_id}/adapters"): {201, 400, 401, 403, 404, 409, 413, 429},
    ("delete", "/api/v1/models/{model_id}/adapters/{adapter_id}"): {204, 401, 403, 404, 409, 429},
    ("get", "/api/v1/nodes"): {200, 401, 429},
    ("get", "/api/v1/nodes/{node_id}"): {200, 401, 404, 429},
    ("get", "/api/v1/nodes/{node_id}/status"): {200, 404},
    ("post", "/api/v1/nodes/{node_id}/drain"): {200, 401, 403, 404, 429},
    ("post", "/api/v1/nodes/{node_id}/undrain"): {200, 401, 403, 404, 429},
    ("post", "/api/v1/keys"): {201, 400, 401, 403, 404, 429},
    ("get", "/api/v1/keys"): {200, 401, 429},
    ("get", "/api/v1/keys/{key_id}"): {200, 400, 401, 404, 429},
    ("patch", "/api/v1/keys/{key_id}"): {200, 400, 401, 403, 404, 409, 413, 429},
    ("delete", "/api/v1/keys/{key_id}"): {204, 401, 404, 409, 429},
    ("post", "/api/v1/accounts"): {201, 400, 401, 403, 429},
    ("get", "/api/v1/accounts"): {200, 401, 403, 429},
    ("get", "/api/v1/accounts/{account_id}"): {200, 401, 403, 404, 429},
    ("patch", "/api/v1/accounts/{account_id}"): {200, 400, 401, 403, 404, 429},
    ("get", "/api/v1/usage"): {200, 400, 401, 429},
    ("get", "/api/v1/history"): {200, 400, 401, 403, 429},
    ("post", "/api/v1/webhooks"): {201, 400, 401, 403, 409, 413, 429},
    ("get", "/api/v1/webhooks"): {200, 400, 401, 403, 429},
    ("patch", "/api/v1/webhooks/{webhook_id}"): {200, 400, 401, 403, 404, 409, 413, 429},
    ("delete", "/api/v1/webhooks/{webhook_id}"): {204, 401, 404, 429},
    ("post", "/api/v1/webhooks/{webhook_id}/rotate"): {200, 401, 403, 404, 429},
    ("post", "/api/v1/webhooks/{webhook_id}/test"): {202, 401, 404, 409, 429},
    ("get", "/api/v1/webhooks/{webhook_id}/deliveries"): {200, 400, 401, 404, 429},
    ("post", "/api/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver"): {202, 401, 404, 409, 429},
    ("post", "/v1/chat/completions"): {200, 400, 401, 402, 403, 404, 413, 429, 503},
    ("post", "/v1/completions"): {200, 400, 401, 402, 403, 404, 413, 429, 503},
    ("get", "/v1/models"): {200, 401, 429},
    ("post", "/tokenize"): {200, 400, 401, 403, 404, 413, 429, 503},
    ("post", "/detokenize"): {200, 400, 401, 403, 404, 413, 429, 503},
    ("post", "/v1/embeddings"): {200, 400, 401, 402, 403, 404, 413, 429, 503},
    ("post", "/score"): {200, 400, 401, 402, 403, 404, 413, 429, 503},
    ("post", "/v1/score"): {200, 400, 401, 402, 403, 404, 413, 429, 503},
    ("post", "/rerank"): {200, 400, 401, 402, 403, 404, 413, 429, 503},
    ("post", "/v1/rerank"): {200, 400, 401, 402, 403, 404, 413, 429, 503},
    ("post", "/v2/rerank"): {200, 400, 401, 402, 403, 404, 413, 429, 503},
    ("get", "/healthz"): {200},
    ("get", "/readyz"): {200, 503},
    ("get", "/health"): {200, 503},
    ("get", "/ping"): {200, 503},
    ("post", "/ping"): {200, 503},
    ("get", "/metrics"): {200},
}
PUBLIC = {"/healthz", "/readyz", "/health", "/ping", "/metrics", "/api/v1/nodes/{node_id}/status"}


@pytest.fixture(scope="module")
def document(anonymous: Api) -> dict[str, Any]:
    return answered(anonymous.request("GET", "/openapi.json"))


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    methods = ("get", "post", "put", "patch", "delete", "head", "options")
    return {
        (method, path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in methods
    }


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def test_every_operation_of_the_contract_is_there(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert set(OPERATIONS) <= set(operations(document))


@pytest.mark.parametrize("operation", OPERATIONS, ids=" ".join)
def test_its_statuses(document: dict[str, Any], operation: tuple[str, str]) -> None:
    responses = operations(document)[operation]["responses"]
    statuses = {int(status) for status in responses if status.isdigit()}
    assert OPERATIONS[operation] <= statuses
    assert 422 not in statuses
    openai = is_openais(operation[1])
    # /v1 waits for the end of a job, and has statuses for its failures.
    assert openai or all(200 <= status < 300 or status in CODES for status in statuses)
    for status in statuses - {200, 201, 202, 204}:
        (schema,) = [media["schema"] for media in responses[str(status)]["content"].values()]
        fields = set(resolved(document, schema)["properties"])
        assert fields == ({"error"} if openai else {"error", "error_message"})


def test_a_key_is_needed_but_on_public_paths(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    bearers = {name for name, scheme in schemes.items() if (scheme["type"], scheme.get("scheme")) == ("http", "bearer")}
    for (_, path), operation in operations(document).items():
        security = operation.get("security", document.get("security", []))
        if path in PUBLIC:
            assert not security, path
        else:
            assert any(bearers & set(alternative) for alternative in security), path


def test_a_submissions_fields(document: dict[str, Any]) -> None:
    body = operations(document)["post", "/api/v1/jobs"]["requestBody"]
    assert body["required"] is True
    schema = resolved(document, body["content"]["application/json"]["schema"])
    assert set(schema["required"]) == {"model", "messages"}
    fields = schema["properties"]
    assert set(fields) == {
        *("model", "messages", "max_tokens", "temperature", "top_p", "stream", "node_id", "stop", "seed", "metadata"),
        *("priority", "presence_penalty", "frequency_penalty", "repetition_penalty", "top_k", "min_p", "min_tokens"),
        *("ignore_eos", "stop_token_ids", "include_stop_str_in_output", "skip_special_tokens", "logit_bias"),
        *("allowed_token_ids", "bad_words", "repetition_detection", "vllm_xargs", "n", "logprobs", "top_logprobs"),
        *("prompt_logprobs", "logprob_token_ids", "thinking_token_budget", "return_token_ids", "return_prompt_text"),
        *("return_tokens_as_token_ids", "spaces_between_special_tokens", "tools", "tool_choice", "parallel_tool_calls"),
        *("chat_template_kwargs", "continue_final_message", "add_generation_prompt", "add_special_tokens", "documents"),
        *("reasoning_effort", "include_reasoning", "echo", "mm_processor_kwargs", "media_io_kwargs"),
        *("truncate_prompt_tokens", "truncation_side", "cache_salt", "structured_outputs", "response_format"),
        "webhook_url",
    }
    defaults = {name: fields[name].get("default") for name in ("max_tokens", "temperature", "top_p", "stream")}
    assert defaults == {"max_tokens": 512, "temperature": 0.7, "top_p": 1.0, "stream": False}


def test_streams_are_event_streams(document: dict[str, Any]) -> None:
    described = operations(document)
    for operation in (
        ("post", "/api/v1/jobs"),
        ("get", "/api/v1/jobs/{job_id}/stream"),
        ("post", "/v1/chat/completions"),
        ("post", "/v1/completions"),
    ):
        assert "text/event-stream" in described[operation]["responses"]["200"]["content"]


def test_nothing_of_fastapis_own_error_shape_is_left(document: dict[str, Any]) -> None:
    assert not {"HTTPValidationError", "ValidationError"} & set(document["components"]["schemas"])
    references = set(re.findall(r"#/components/schemas/([^']+)'", repr(document)))
    assert references <= set(document["components"]["schemas"])
