"""The reference of the HTTP API: every route of the OpenAPI document, as one page."""

from collections.abc import Iterator, Mapping
from typing import Any
from unittest.mock import Mock

from api.app import create_app

Schema = Mapping[str, Any]

_HEAD = """# HTTP, every route

Made of the document that a running system gives at `/openapi.json`. [The HTTP API](../http.md) says how to use it, and
[the contract](../contract.md) what can be relied on. Unless it says otherwise, a route wants `Authorization: Bearer KEY`.

"""


def page() -> str:
    """The page, of the application as it is."""
    document = create_app(Mock()).openapi()
    return _HEAD + "\n".join(_lines(document)) + "\n"


def _lines(document: Schema) -> Iterator[str]:
    schemas = document["components"]["schemas"]
    for tag, operations in _by_tag(document["paths"]).items():
        yield f"## {tag.capitalize()}\n"
        for method, path, operation in operations:
            yield from _operation(method, path, operation, schemas)
    yield "## Bodies\n"
    for name, schema in sorted(schemas.items()):
        yield from _schema(name, schema)


def _by_tag(paths: Mapping[str, Schema]) -> dict[str, list[tuple[str, str, Schema]]]:
    found: dict[str, list[tuple[str, str, Schema]]] = {}
    for path, operations in paths.items():
        for method, operation in operations.items():
            found.setdefault(operation.get("tags", ["others"])[0], []).append((method, path, operation))
    return found


def _operation(method: str, path: str, operation: Schema, schemas: Schema) -> Iterator[str]:
    yield f"### `{method.upper()} {path}`\n"
    if described := operation.get("description"):
        yield f"{described}\n"
    if operation.get("security") == []:
        yield "Without a key.\n"
    if parameters := operation.get("parameters"):
        yield "| parameter | in | | |\n|---|---|---|---|"
        for parameter in parameters:
            kind = _kind(parameter["schema"])
            yield f"| `{parameter['name']}` | {parameter['in']} | {kind} | {_cell(parameter.get('description', ''))} |"
        yield ""
    if body := operation.get("requestBody"):
        schema = body["content"].get("application/json", {}).get("schema", {})
        if "properties" in schema:
            yield "Body, as JSON:\n"
            yield from _fields(schema)
        else:
            yield f"Body: {_content(body['content'])}\n"
    yield "| answer | | |\n|---|---|---|"
    for status, answer in sorted(operation["responses"].items()):
        yield f"| {status} | {_content(answer.get('content', {}))} | {_cell(answer.get('description', ''))} |"
    yield ""


def _content(content: Mapping[str, Schema]) -> str:
    return ", ".join(
        _kind(each["schema"]) if media == "application/json" and "schema" in each else f"`{media}`"
        for media, each in content.items()
    )


def _schema(name: str, schema: Schema) -> Iterator[str]:
    yield f'### {name} {{: #{_anchor(name)} }}\n'
    if described := schema.get("description"):
        yield f"{described}\n"
    if "properties" in schema:
        yield from _fields(schema)
    else:
        yield f"{_kind(schema)}\n"


def _fields(schema: Schema) -> Iterator[str]:
    required = schema.get("required", ())
    yield "| field | | |\n|---|---|---|"
    for field, of in schema["properties"].items():
        told = [_cell(of["description"])] if "description" in of else []
        told += ["required"] if field in required else []
        told += [f"default `{of['default']}`"] if of.get("default") not in (None, [], {}) else []
        yield f"| `{field}` | {_kind(of)} | {'; '.join(told)} |"
    yield ""


def _kind(schema: Schema) -> str:
    """What a value can be, in a cell of a table."""
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return f"[{name}](#{_anchor(name)})"
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(_kind(each) for each in schema[several]))
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    bounds = [f"{word} {schema[name]}" for name, word in _BOUNDS.items() if name in schema]
    return _cell(" ".join([str(kind), *([f"({', '.join(bounds)})"] if bounds else [])]))


_BOUNDS = {
    "minimum": "from",
    "exclusiveMinimum": "above",
    "maximum": "to",
    "minLength": "characters from",
    "maxLength": "characters to",
}


def _anchor(name: str) -> str:
    return f"body-{name.lower()}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")

