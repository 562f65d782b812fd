"""The OpenAPI document: how routes declare what they take and answer, and what is true of all of them.

https://spec.openapis.org/oas/v3.1.0
"""

import inspect
import json
from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter

from api.http.answers import Error
from api.http.front.request_ids import REQUEST_ID, REQUEST_ID_PATTERN
from cluster.errors import InfernetError, InternalError, NoCapacity, RateLimited, Unauthorized

Responses = dict[int | str, dict[str, Any]]
Document = dict[str, Any]

GUARDED: tuple[type[InfernetError], ...] = (Unauthorized, RateLimited, NoCapacity, InternalError)
"""What every operation may answer that needs a key."""

PUBLIC: dict[str, Any] = {"security": []}
"""`openapi_extra` of operations that need no key."""

_REF = "#/components/schemas/{model}"
_RATE_LIMIT_HEADERS = {
    "X-RateLimit-Limit": "What the window with the least left lets through",
    "X-RateLimit-Remaining": "What is left of it",
    "X-RateLimit-Reset": "When it ends, in Unix seconds",
}
_IF_CHARGED = "-If-Charged"
_BEFORE_CHARGING = {str(NoCapacity.status), str(InternalError.status)}
"""What may be answered because nobody can say who asks, or what is left to them."""

_RETRY_AFTER: Document = {
    "Retry-After": {"schema": {"type": "integer", "minimum": 1}, "description": "Whole seconds"},
}
_ERROR_HEADERS: dict[type[InfernetError], Document] = {
    Unauthorized: {"WWW-Authenticate": {"schema": {"type": "string", "const": "Bearer"}}},
    RateLimited: _RETRY_AFTER,
    NoCapacity: _RETRY_AFTER,
}


def errors(*kinds: type[InfernetError], body: Any = Error) -> Responses:
    """What a route's `responses` say of the errors that it may answer, in the shape `body`."""
    responses: Responses = {}
    for kind in kinds:
        response = responses.setdefault(kind.status, {"description": "", "content": error_content(body)})
        meaning = (inspect.getdoc(kind) or "").partition("\n")[0]
        response["description"] = f"{response['description']}\n\n`{kind.code}`: {meaning}".strip()
        if kind in _ERROR_HEADERS:
            response["headers"] = _ERROR_HEADERS[kind]
    return responses


def error_content(body: Any) -> Document:
    """The content of an error's answer. By reference: FastAPI would make a model of each, at the cost of its start."""
    return {"application/json": {"schema": {"$ref": _REF.format(model=body.__name__)}}}


_NO_VALUE: Document = {"allOf": [{"type": "string"}, {"type": "number"}]}
NO_JSON: Document = {"schema": _NO_VALUE}
"""The content of an answer that, where the request asks for it, is something else in the place of JSON.

What a client reads as JSON is never that: by a schema that no value has, its generated types say so.
"""

EVENTS: Document = {"text/event-stream": NO_JSON}
"""The same of a stream."""


def takes(body: type[BaseModel], **parameters: Any) -> Document:
    """`openapi_extra` of a route that reads this body itself; `parameters` are further keys of the operation."""
    schema = body.model_json_schema(ref_template=_REF)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}, **parameters}


def describe(app: FastAPI, error_bodies: Sequence[Any]) -> None:
    """Make `/openapi.json` of this application, whose errors have these bodies, true and complete."""

    def document() -> Document:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            app.openapi_schema = _completed(made, app, error_bodies)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's own way of extending the document


def _completed(document: Document, app: FastAPI, error_bodies: Sequence[Any]) -> Document:
    components = document.setdefault("components", {})
    schemas: Document = components.setdefault("schemas", {})
    for operation in _operations(document):
        # What FastAPI would answer to bad parameters: here that is a 400 like any other.
        operation["responses"].pop("422", None)
        for response in operation["responses"].values():
            response.setdefault("headers", {})[REQUEST_ID] = {"$ref": f"#/components/headers/{REQUEST_ID}"}
        if operation.get("security") != []:
            _add_rate_limit_headers(operation)
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for body in error_bodies:
        schemas |= _schemas_of(body)
    for route in app.routes:
        if isinstance(route, APIRoute):
            _describe_request_body(route, document["paths"], schemas)
    components["headers"] = {
        name + suffix: {"description": meaning + condition, "schema": {"type": "integer", "minimum": 0}}
        for name, meaning in _RATE_LIMIT_HEADERS.items()
        for suffix, condition in (("", ""), (_IF_CHARGED, ", once the request has been charged to the key"))
    }
    components["headers"][REQUEST_ID] = {
        "description": "The request's, or a new one; log lines name it",
        "schema": {"type": "string", "pattern": f"^{REQUEST_ID_PATTERN}$"},
    }
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"bearer": []}]
    return document


def _operations(document: Document) -> Iterator[Document]:
    for path in document["paths"].values():
        yield from path.values()


def _schemas_of(body: Any) -> Document:
    """The schema of this type, and those it refers to, by their names."""
    schema = TypeAdapter(body).json_schema(ref_template=_REF)
    schemas: Document = schema.pop("$defs", {})
    return schemas | {schema["title"]: schema}


def _describe_request_body(route: APIRoute, paths: Document, schemas: Document) -> None:
    """Put the schema of a route's body where it belongs, and those it refers to where they can be referred to by name.

    They are the declared ones: on its way through FastAPI a schema's large integers become floats. The body's own
    stands in the operation: elsewhere, some generators of clients make what has a default something that must be given.
    """
    content = (route.openapi_extra or {}).get("requestBody", {}).get("content", {})
    for media_type, declared in content.items():
        schema = _without_null_defaults(declared["schema"])
        schemas |= {name: _defaults_in_words(each) for name, each in schema.pop("$defs", {}).items()}
        schemas[schema["title"]] = schema
        for method in route.methods:
            body = paths[route.path_format][method.lower()]["requestBody"]
            body["content"][media_type]["schema"] = {name: schema[name] for name in schema if name != "title"}


def _without_null_defaults(node: Any) -> Any:
    """The same without what goes without saying: that null stands for what is not said."""
    if isinstance(node, list):
        return [_without_null_defaults(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {key: _without_null_defaults(value) for key, value in node.items() if key != "default" or value is not None}


def _defaults_in_words(schema: Document) -> Document:
    """An object's schema that tells the defaults of its fields in their descriptions."""
    fields = {name: _default_in_words(field) for name, field in schema.get("properties", {}).items()}
    return {**schema, "properties": fields} if fields else schema


def _default_in_words(field: Document) -> Document:
    if "default" not in field:
        return field
    told = {name: value for name, value in field.items() if name != "default"}
    said = [field["description"]] if "description" in field else []
    return {**told, "description": "; ".join([*said, f"{json.dumps(field['default'])} unless said"])}


def _add_rate_limit_headers(operation: Document) -> None:
    for status, response in operation["responses"].items():
        if status != str(Unauthorized.status):
            suffix = _IF_CHARGED if status in _BEFORE_CHARGING else ""
            headers = {name: {"$ref": f"#/components/headers/{name}{suffix}"} for name in _RATE_LIMIT_HEADERS}
            response["headers"] = response.get("headers", {}) | headers
