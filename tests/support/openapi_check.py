"""Holds every answer against the OpenAPI document: nothing may be sent that it does not say, and nothing left out."""

import re
from typing import Any

import httpx
from fastapi import FastAPI
from jsonschema import Draft202012Validator, FormatChecker


class OpenApiCheck:
    """`check` raises AssertionError for an answer that the application's document does not describe.

    Objects may have the properties that are described and no others.
    """

    def __init__(self, app: FastAPI) -> None:
        self.document: dict[str, Any] = app.openapi()
        self._schemas = {name: _closed(schema) for name, schema in self.document["components"]["schemas"].items()}
        self._paths = [(_pattern(path), operations) for path, operations in self.document["paths"].items()]

    async def check(self, response: httpx.Response) -> None:
        if response.request.url.path == "/openapi.json":
            return
        operation = self._operation(response.request)
        if response.status_code == 405 or operation is None:
            assert response.status_code in (401, 404, 405, 429), response
            return
        described = operation["responses"].get(str(response.status_code))
        assert described, f"{response.request} may not answer {response.status_code}"
        for name, header in described.get("headers", {}).items():
            assert name in response.headers or _is_conditional(header), name
        await response.aread()
        if response.request.method == "HEAD":
            assert not response.content
            return
        if "content" not in described:
            assert not response.content
            return
        media_type = response.headers["content-type"].partition(";")[0]
        assert media_type in described["content"], media_type
        if media_type == "application/json":
            self._validate(response.json(), described["content"][media_type]["schema"])

    def _validate(self, body: Any, schema: dict[str, Any]) -> None:
        schema = schema | {"components": {"schemas": self._schemas}}
        Draft202012Validator(schema, format_checker=FormatChecker()).validate(body)

    def _operation(self, request: httpx.Request) -> dict[str, Any] | None:
        # The literal path before the one with a parameter in its place.
        # HEAD is GET, and told of as such.
        method = "get" if request.method == "HEAD" else request.method.lower()
        fits = [operations for pattern, operations in self._paths if pattern.fullmatch(request.url.path)]
        return next((ops[method] for ops in fits if method in ops), None)


def _is_conditional(header: dict[str, str]) -> bool:
    """Headers that only some answers of a status have say so."""
    return "With" in header.get("description", "") or header.get("$ref", "").endswith("-If-Charged")


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile("[^/]+".join(map(re.escape, re.split(r"\{[^}]+\}", path))))


def _closed(schema: Any) -> Any:
    """The schema, with objects that allow no properties but their own."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed
