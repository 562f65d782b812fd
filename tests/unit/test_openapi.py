"""The OpenAPI document: complete, and as strict as the door is. That answers are as it says, every API test checks."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from api.accounts.schemas import AccountRequest
from api.app import create_app
from api.http.bodies import Request, parse
from api.jobs.schemas import JobRequest
from api.keys.schemas import KeyRequest
from cluster.errors import BadRequest
from tests.support.http_door import bare_client, bare_gateway
from tests.support.plain_system import run

DOCUMENT: dict[str, Any] = create_app(bare_gateway()).openapi()
OPENAIS = ("/v1/", "/v2/", "/tokenize", "/detokenize", "/score", "/rerank")
OURS = {path: operations for path, operations in DOCUMENT["paths"].items() if not path.startswith(OPENAIS)}
OPERATIONS = [
    pytest.param(operation, id=f"{method.upper()} {path}")
    for path, operations in OURS.items()
    for method, operation in operations.items()
]

JOB: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
BUDGET: dict[str, Any] = {"unit": "tokens", "amount": 0, "period": "all"}


def refs(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*map(refs, node.values()))
    return set().union(*map(refs, node)) if isinstance(node, list) else set()


def test_every_path_of_the_contract_is_there() -> None:
    assert {f"{method.upper()} {path}" for path, operations in OURS.items() for method in operations} == {
        "POST /api/v1/jobs",
        "GET /api/v1/jobs",
        "GET /api/v1/jobs/{job_id}",
        "GET /api/v1/jobs/{job_id}/stream",
        "GET /api/v1/jobs/{job_id}/placement",
        "GET /api/v1/jobs/{job_id}/timeline",
        "POST /api/v1/jobs/{job_id}/cancel",
        "DELETE /api/v1/jobs/{job_id}",
        "GET /api/v1/models",
        "GET /api/v1/models/{model_id}",
        "PATCH /api/v1/models/{model_id}",
        "POST /api/v1/models/{model_id}/restart",
        "POST /api/v1/models/{model_id}/adapters",
        "DELETE /api/v1/models/{model_id}/adapters/{adapter_id}",
        "GET /api/v1/nodes",
        "GET /api/v1/nodes/{node_id}",
        "GET /api/v1/nodes/{node_id}/status",
        "POST /api/v1/nodes/{node_id}/drain",
        "POST /api/v1/nodes/{node_id}/undrain",
        "POST /api/v1/keys",
        "GET /api/v1/keys",
        "GET /api/v1/keys/{key_id}",
        "PATCH /api/v1/keys/{key_id}",
        "DELETE /api/v1/keys/{key_id}",
        "POST /api/v1/accounts",
        "GET /api/v1/accounts",
        "GET /api/v1/accounts/{account_id}",
        "PATCH /api/v1/accounts/{account_id}",
        "GET /api/v1/usage",
        "GET /api/v1/history",
        "POST /api/v1/webhooks",
        "GET /api/v1/webhooks",
        "PATCH /api/v1/webhooks/{webhook_id}",
        "DELETE /api/v1/webhooks/{webhook_id}",
        "POST /api/v1/webhooks/{webhook_id}/rotate",
        "POST /api/v1/webhooks/{webhook_id}/test",
        "GET /api/v1/webhooks/{webhook_id}/deliveries",
        "POST /api/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver",
        "GET /healthz",
        "GET /readyz",
        "GET /health",
        "GET /ping",
        "POST /ping",
        "GET /metrics",
    }


def test_every_reference_leads_somewhere() -> None:
    for ref in refs(DOCUMENT):
        found: Any = DOCUMENT
        for step in ref.removeprefix("#/").split("/"):
            found = found[step]
        assert found
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    assert "422" not in json.dumps(DOCUMENT)
    assert not {"HTTPValidationError", "ValidationError"} & set(DOCUMENT["components"]["schemas"])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_tells_its_errors(operation: dict[str, Any]) -> None:
    public = operation.get("security") == []
    statuses = set(operation["responses"])
    assert public or {"401", "429", "500"} <= statuses
    assert not public or not {"401", "403", "429"} & statuses or operation["operationId"].startswith("get_metrics")
    assert ("404" in statuses) or not any(parameter["in"] == "path" for parameter in operation.get("parameters", []))
    assert ("413" in statuses) is ("requestBody" in operation)
    for status, response in operation["responses"].items():
        assert response["description"]
        if int(status) >= 400:
            assert response["content"] == {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
        if not public and status != "401":
            assert {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} <= set(response["headers"])
    assert public or statuses.isdisjoint({"429"}) or "Retry-After" in operation["responses"]["429"]["headers"]


def test_the_document_is_public_and_its_page_too() -> None:
    async def main() -> None:
        async with bare_client(key=None) as client:
            assert (await client.get("/openapi.json")).json() == DOCUMENT

    run(main())


def test_streams_are_event_streams() -> None:
    submitted = OURS["/api/v1/jobs"]["post"]["responses"]["200"]
    assert set(submitted["content"]) == {"application/json", "text/event-stream"}
    assert {"X-Job-Id", "Location"} <= set(submitted["headers"])
    assert set(OURS["/api/v1/jobs/{job_id}/stream"]["get"]["responses"]["200"]["content"]) == {"text/event-stream"}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (JobRequest, {}),
        (JobRequest, JOB),
        (JobRequest, JOB | {"unknown": 1}),
        (JobRequest, {"model": "m", "messages": []}),
        (JobRequest, {"model": None, "messages": JOB["messages"]}),
        (JobRequest, {"model": "m", "messages": [{"role": "tool", "content": ""}]}),
        (JobRequest, {"model": "m", "messages": [{"role": "user", "content": ""}]}),
        (JobRequest, {"model": "m", "messages": [{"role": "user", "content": None}]}),
        *((JobRequest, JOB | {name: None}) for name in JobRequest.model_fields if name not in JOB),
        *((JobRequest, JOB | {"max_tokens": value}) for value in (0, 1, 2**63 - 1, 2**63, "5", True)),
        *((JobRequest, JOB | {"temperature": value}) for value in (0, 2, 2.01, -0.1, "1", False)),
        *((JobRequest, JOB | {"top_p": value}) for value in (0, 0.0001, 1, 1.01)),
        *((JobRequest, JOB | {"stop": value}) for value in ("", "a", [], ["a"] * 4, ["a"] * 5, [""], "\0", 5)),
        *((JobRequest, JOB | {"seed": value}) for value in (-(2**63), -(2**63) - 1, 0, 2**63 - 1, 2**63, "0")),
        *((JobRequest, JOB | {"node_id": value}) for value in ("", "n", "\0", 1)),
        *((JobRequest, JOB | {"metadata": value}) for value in ({}, {"a": "b"}, {"a": 1}, {"a": "\0"}, [])),
        *((JobRequest, JOB | {"metadata": dict.fromkeys(map(str, range(n)), "")}) for n in (16, 17)),
        *((KeyRequest, {"name": value}) for value in ("", "k", "x" * 128, "x" * 129, "a\nb", "\x7f", "é", None, 5)),
        *((KeyRequest, {"name": "k", "models": value}) for value in (None, [], ["m"], "m", [5])),
        *((KeyRequest, {"name": "k", "role": value}) for value in (None, "member", "admin", "owner")),
        *((KeyRequest, {"name": "k", "limits": {"reads_per_minute": value}}) for value in (None, 0, 1, "1")),
        *((KeyRequest, {"name": "k", "limits": value}) for value in (None, {}, [], 5)),
        *((AccountRequest, {"name": "a", "budget": value}) for value in (None, {}, BUDGET, BUDGET | {"amount": -1})),
        (AccountRequest, {"name": "a", "budget": BUDGET | {"unit": None}}),
        (AccountRequest, []),
    ],
)
def test_the_document_refuses_what_the_door_refuses(kind: type[Request], body: Any) -> None:
    schemas = DOCUMENT["components"]["schemas"]
    described = {"$ref": f"#/components/schemas/{kind.__name__}", "components": {"schemas": schemas}}
    try:
        parse(kind, json.dumps(body).encode())
    except BadRequest:
        taken = False
    else:
        taken = True
    assert Draft202012Validator(described).is_valid(body) is taken
