"""Which JSON Schemas are taken, and what is said of the others."""

import json
from typing import Any

import pytest

from cluster.json_schemas import (
    FORMATS,
    MAX_CHARACTERS,
    MAX_DEPTH,
    MAX_PATTERN_CHARACTERS,
    MAX_PATTERN_COST,
    MAX_PATTERNS,
    UnsupportedSchema,
    parse,
    schemas,
)

PERSON: dict[str, Any] = {
    "$defs": {"Pet": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
    "title": "Person",
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20, "description": "not a keyword: not"},
        "age": {"type": ["integer", "null"], "minimum": 0, "exclusiveMaximum": 150, "default": None},
        "role": {"enum": ["admin", "member"], "type": "string"},
        "kind": {"const": "person", "enum": ["person"], "type": "string"},
        "pets": {"type": "array", "items": {"$ref": "#/$defs/Pet"}, "maxItems": 3},
        "best": {"anyOf": [{"$ref": "#/$defs/Pet"}, {"type": "null"}]},
        "first": {"allOf": [{"$ref": "#/$defs/Pet"}], "default": {}},
        "point": {"type": "array", "prefixItems": [{"type": "number"}] * 2, "items": False, "minItems": 2},
        "born": {"type": "string", "format": "date"},
        "marks": {"type": "object", "additionalProperties": {"type": "integer"}},
        "parent": {"$ref": "#"},
        "not": {"type": "boolean"},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}


def test_takes_what_clients_send() -> None:
    assert parse(json.dumps(PERSON)) == PERSON


def test_walks_every_schema_and_nothing_else() -> None:
    found = list(schemas(parse(json.dumps(PERSON))))
    assert len(found) == 22
    assert found[0] == PERSON
    assert {"type": "integer"} in found
    assert {} not in found  # a default is no schema


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("", "must be valid JSON"),
        ('{"const": NaN}', "must be valid JSON"),
        ("[" * 100_000, "must not be longer than 65536 characters"),
        ("[" * 60_000, f"must not be nested more than {MAX_DEPTH} levels deep"),
        ("true", "must be an object"),
        ('"text"', "must be an object"),
    ],
)
def test_refuses_what_is_no_schema(schema: str, message: str) -> None:
    with pytest.raises(UnsupportedSchema) as refusal:
        parse(schema)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "string", "not": {}}, "'not' is not supported"),
        ({"oneOf": [{"type": "string"}]}, "'oneOf' is not supported"),
        ({"type": "integer", "multipleOf": 3}, "'multipleOf' is not supported"),
        ({"type": "array", "uniqueItems": True}, "'uniqueItems' is not supported"),
        ({"maxLength": 3}, "'maxLength' is not supported without 'type'"),
        ({"type": "integer", "maxLength": 3}, "'maxLength' is not supported beside 'type'"),
        ({"anyOf": [{"type": "null"}], "type": "object"}, "'type' is not supported beside 'anyOf'"),
        ({"$ref": "#", "type": "object"}, "'type' is not supported beside '$ref'"),
        ({"type": "text"}, "#/type: must be of object, array, string, integer, number, boolean, null"),
        ({"type": []}, "#/type: must be of object, array, string, integer, number, boolean, null"),
        ({"type": [["string"]]}, "#/type: must be of object, array, string, integer, number, boolean, null"),
        ({"type": "string", "enum": ["a", 1]}, "#/type: must be the type of all values beside it"),
        ({"type": "integer", "const": True}, "#/type: must be the type of all values beside it"),
        ({"const": "a", "enum": ["b"]}, "#/const: must be one of 'enum'"),
        ({"enum": []}, "#/enum: must be an array of at least one value"),
        ({"anyOf": []}, "#/anyOf: must not be empty"),
        ({"anyOf": {}}, "#/anyOf: must not be empty"),
        ({"anyOf": {"a": 1}}, "#/anyOf: must be an array"),
        ({"allOf": [{}, {}]}, "#/allOf: is only supported with one schema"),
        ({"type": "object", "properties": []}, "#/properties: must be an object"),
        ({"type": "object", "properties": {"a": True}}, "#/properties/a: must be an object"),
        ({"type": "object", "properties": {"a": {"if": {}}}}, "#/properties/a: 'if' is not supported"),
        ({"type": "object", "required": ["a"]}, "#/required: 'a' is not among 'properties'"),
        ({"type": "object", "required": "a"}, "#/required: must be an array of strings"),
        ({"type": "array", "items": 3}, "#/items: must be an object"),
        ({"type": "array", "minItems": -1}, "#/minItems: must be an integer that is not negative"),
        ({"type": "array", "maxItems": True}, "#/maxItems: must be an integer that is not negative"),
        ({"type": "string", "minLength": 3, "maxLength": 2}, "'minLength' must not be greater than 'maxLength'"),
        ({"type": "string", "format": "iban"}, f"#/format: must be one of {', '.join(FORMATS)}"),
        ({"type": "string", "format": ["date"]}, f"#/format: must be one of {', '.join(FORMATS)}"),
        (
            {"type": "string", "pattern": "a", "maxLength": 3},
            "'pattern' and 'format' are only supported without other keywords of strings",
        ),
        (
            {"type": "object", "properties": {"a": {"type": "string", "format": "date", "minLength": 3}}},
            "#/properties/a: 'pattern' and 'format' are only supported without other keywords of strings",
        ),
        ({"type": "integer", "minimum": "0"}, "#/minimum: must be a number"),
        ({"$ref": 3}, "#/$ref: must be '#' or begin with '#/', and be without '~' and '%'"),
        ({"$ref": "https://example.com/a"}, "#/$ref: must be '#' or begin with '#/', and be without '~' and '%'"),
        ({"$ref": "#/$defs/a"}, "#/$ref: there is no schema at #/$defs/a"),
        ({"$ref": "#/$defs", "$defs": {"type": {}}}, "#/$ref: there is no schema at #/$defs"),
    ],
)
def test_names_what_it_refuses(schema: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedSchema) as refusal:
        parse(json.dumps(schema))
    assert str(refusal.value) == message


def test_depth_is_bounded() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(MAX_DEPTH - 1):
        schema = {"type": "array", "items": schema}
    parse(json.dumps(schema))
    with pytest.raises(UnsupportedSchema, match=r"^must not be nested more than 32 levels deep$"):
        parse(json.dumps({"type": "array", "items": schema}))


def test_size_is_bounded() -> None:
    fits = json.dumps({"const": ""})
    fits = json.dumps({"const": "x" * (MAX_CHARACTERS - len(fits))})
    parse(fits)
    with pytest.raises(UnsupportedSchema, match="must not be longer"):
        parse(fits + " ")


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[A-Z]{2}\d{2}[A-Z0-9]{1,30}$",
        r"^([0-9]{1,3}\.){3}[0-9]{1,3}$",
        r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        r"^(\d{1,3},)*\d{1,3}$",
        r"^[a-z0-9]+(?:-[a-z0-9]+)*$",
        r"^.{1,255}$",
        r"^((a*)*)*$",
        r"^[()*{2}]+\{3\)$",
    ],
)
def test_takes_patterns(pattern: str) -> None:
    parse(json.dumps({"type": "string", "pattern": pattern}))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"^(?=a)b$", "looking around"),
        (r"^(a)\1$", "looking around"),
        (r"\bword", "looking around"),
        (r"^(a$", "unbalanced"),
        (r"^a)$", "unbalanced"),
        ("a" * 257, "at most 256 characters"),
        # Each of these kept the grammar's compiler or its matcher busy for seconds, some of them for minutes.
        (r"^(([a-z]{0,1000}){0,1000}){0,1000}$", "too many repeats"),
        (r"^([a-z]{0,30}){0,30}$", "too many repeats"),
        (r"^((.{0,4}){0,5}){0,5}$", "too many repeats"),
        (r"^(.{0,1000}|a)*$", "too many repeats"),
        (r"^(.{0,100}|a)*$", "too many repeats"),
        (r"^(.{0,40}){2,}$", "too many repeats"),
        (r"^" + r".{0,40}" * 8 + "$", "too many repeats"),
    ],
)
def test_refuses_patterns(pattern: str, message: str) -> None:
    with pytest.raises(UnsupportedSchema, match=message):
        parse(json.dumps({"type": "string", "pattern": pattern}))


@pytest.mark.parametrize(
    ("pattern", "cost"),
    [
        ("a{40}", 40),
        ("a{2,40}", 40),
        ("^a{40}$", 40),
        ("a{40}{b", 42),
        ("a{40}b*c+d?", 43),
        ("(?:ab){20}", 40),
        (r"([(]\)){20}", 40),
        ("(a{30}bc)", 32),
        ("(a{30})?", 30),
        ("(a{3}){2}", 24),
        ("(a{3}){2,}", 96),
        ("(a{3})*", 96),
        ("(a{3})+", 96),
        ("(a{3}|b){2}", 40),
        ("(a{3}b?){2}", 32),
        ("((a*){5}){2}", 40),
        ("((a{3})){2}", 24),
    ],
)
def test_what_a_pattern_costs(pattern: str, cost: int) -> None:
    """So many single characters fit beside it, and not one more."""
    parse(json.dumps({"type": "string", "pattern": pattern + "x" * (MAX_PATTERN_COST - cost)}))
    with pytest.raises(UnsupportedSchema) as refused:
        parse(json.dumps({"type": "string", "pattern": pattern + "x" * (MAX_PATTERN_COST - cost + 1)}))
    assert str(refused.value) == "#/pattern: has too many repeats of repeats, or repeats too often"


def test_a_repeat_of_nothing_costs_nothing() -> None:
    parse(json.dumps({"type": "string", "pattern": "{300}" + "x" * (MAX_PATTERN_CHARACTERS - 5)}))


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("a(?=b)", "looking around, back references and such are not supported"),
        ("(a", "has an unbalanced bracket"),
        ("a)", "has an unbalanced bracket"),
        ("x" * (MAX_PATTERN_CHARACTERS + 1), "must be a string of at most 256 characters"),
        (7, "must be a string of at most 256 characters"),
    ],
)
def test_says_where_a_pattern_is_refused_and_why(pattern: object, reason: str) -> None:
    with pytest.raises(UnsupportedSchema) as refused:
        parse(json.dumps({"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}}))
    assert str(refused.value) == f"#/properties/a/pattern: {reason}"


def test_counts_patterns() -> None:
    schema = {"type": "array", "prefixItems": [{"type": "string", "pattern": "a"}] * MAX_PATTERNS}
    parse(json.dumps(schema))
    schema["items"] = {"type": "string", "pattern": "a"}
    with pytest.raises(UnsupportedSchema, match=r"^must not have more than 32 patterns$"):
        parse(json.dumps(schema))


@pytest.mark.parametrize(
    ("value", "types"),
    [
        (None, {"null"}),
        (True, {"boolean"}),
        (1, {"integer", "number"}),
        (1.5, {"number"}),
        ("a", {"string"}),
        ([], {"array"}),
        ({}, {"object"}),
    ],
)
@pytest.mark.parametrize("name", ["null", "boolean", "integer", "number", "string", "array", "object"])
def test_a_value_beside_a_type_is_of_that_type(value: Any, types: set[str], name: str) -> None:
    schema = json.dumps({"type": name, "const": value})
    if name in types:
        assert parse(schema) == {"type": name, "const": value}
    else:
        with pytest.raises(UnsupportedSchema, match="must be the type of all values beside it"):
            parse(schema)


@pytest.mark.parametrize("kind", [("array", "minItems", "maxItems"), ("string", "minLength", "maxLength")])
def test_a_range_of_counts_may_be_one_count_or_none_and_no_less(kind: tuple[str, str, str]) -> None:
    name, low, high = kind
    for bounds in ({low: 0}, {high: 0}, {low: 2, high: 2}):
        parse(json.dumps({"type": name, **bounds}))
    with pytest.raises(UnsupportedSchema) as refusal:
        parse(json.dumps({"properties": {"a": {"type": name, low: 3, high: 2}}, "type": "object"}))
    assert str(refusal.value) == f"#/properties/a: {low!r} must not be greater than {high!r}"
