"""Answers that follow a form."""

from typing import Any

from tests.differential.case import PLAIN, Topic

topic = Topic("structured")

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {"answer": {"enum": ["yes", "no"]}, "count": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["answer", "count"],
    "additionalProperties": False,
}
LIST: dict[str, Any] = {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2, "maxItems": 2}
GRAMMAR = 'root ::= "yes" | "no" | "perhaps " ("so" | "not")'
TAG: dict[str, Any] = {
    "type": "structural_tag",
    "format": {"type": "const_string", "value": "as it is"},
}
TRIGGERED: dict[str, Any] = {
    "type": "structural_tag",
    "structures": [{"begin": "<answer>", "schema": PERSON, "end": "</answer>"}],
    "triggers": ["<answer>"],
}


def schema(wanted: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": wanted, **fields}}


topic.chat("text", response_format={"type": "text"})
topic.chat("a schema", response_format=schema(PERSON), max_tokens=60)
topic.chat("a strict schema", response_format=schema(PERSON, strict=True), max_tokens=60)
topic.chat("a schema that need not be followed", response_format=schema(PERSON, strict=False), max_tokens=60)
topic.chat("a schema with a description", response_format=schema(PERSON, description="What it is"), max_tokens=60)
topic.chat("a schema of a list", response_format=schema(LIST), max_tokens=60)
topic.chat("a schema of an enumeration", response_format=schema({"enum": ["Paris", "Rome"]}))
topic.chat("a schema with a length", response_format=schema({"type": "string", "minLength": 3, "maxLength": 5}))
topic.chat("a schema with a pattern", response_format=schema({"type": "string", "pattern": "^[A-C]{4}$"}))
topic.chat(
    "a schema with references",
    response_format=schema(
        {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/letter"}},
            "required": ["a"],
            "additionalProperties": False,
            "$defs": {"letter": {"enum": ["x", "y"]}},
        }
    ),
)
topic.chat("a schema cut off", response_format=schema(PERSON), max_tokens=3)
topic.chat("an object", response_format={"type": "json_object"}, max_tokens=40)
topic.chat("a schema without a name", response_format={"type": "json_schema", "json_schema": {"schema": PERSON}})
topic.chat("a schema without a schema", response_format={"type": "json_schema", "json_schema": {"name": "answer"}})
topic.chat("a schema that is missing", response_format={"type": "json_schema"})
topic.chat("a format that nobody knows", response_format={"type": "xml"})
topic.chat("a schema that cannot be", response_format=schema({"type": "elephant"}))
topic.chat("a schema that is no object", response_format=schema("elephant"))
topic.chat("a structural tag", response_format=TAG)
topic.chat("a structural tag of old", response_format=TRIGGERED)
topic.chat("a structural tag that is wrong", response_format={"type": "structural_tag", "format": {"type": "elephant"}})
topic.chat("choice", structured_outputs={"choice": ["positive", "negative"]})
topic.chat("choice of one", structured_outputs={"choice": ["the only one"]})
topic.chat("choice of many", structured_outputs={"choice": [f"number {number}" for number in range(30)]})
topic.chat("choice of nothing", structured_outputs={"choice": []})
topic.chat("choice cut off", structured_outputs={"choice": ["the very longest choice of all"]}, max_tokens=3)
topic.chat("choice with a stop string", structured_outputs={"choice": ["one and two", "three and four"]}, stop=" and")
topic.chat("choice and ignore_eos", structured_outputs={"choice": ["yes", "no"]}, ignore_eos=True, modes=PLAIN)
topic.chat("choice and min_tokens", structured_outputs={"choice": ["yes", "no"]}, min_tokens=8, modes=PLAIN)
topic.chat("regex", structured_outputs={"regex": r"[A-Z][a-z]{3}-\d{2}"})
topic.chat("regex of words", structured_outputs={"regex": r"(Paris|Rome)( or (London|Madrid))?\."})
topic.chat("regex that is wrong", structured_outputs={"regex": "("})
topic.chat("regex of nothing", structured_outputs={"regex": ""})
topic.chat("json", structured_outputs={"json": PERSON}, max_tokens=60)
topic.chat("json as text", structured_outputs={"json": '{"enum": ["a", "b"]}'})
topic.chat("json that is wrong", structured_outputs={"json": "{"})
topic.chat("json_object", structured_outputs={"json_object": True}, max_tokens=40)
topic.chat("grammar", structured_outputs={"grammar": GRAMMAR})
topic.chat("grammar that is wrong", structured_outputs={"grammar": "root ::= ("})
topic.chat(
    "structural_tag",
    structured_outputs={
        "structural_tag": '{"type": "structural_tag", "format": {"type": "const_string", "value": "so"}}'
    },
)
topic.chat("structural_tag that is wrong", structured_outputs={"structural_tag": "{}"})
topic.chat("two kinds at once", structured_outputs={"choice": ["a"], "regex": "b"})
topic.chat("no kind", structured_outputs={})
topic.chat("null", structured_outputs=None)
topic.chat("an unknown kind", structured_outputs={"haiku": True})
topic.chat("whitespace_pattern", structured_outputs={"json": PERSON, "whitespace_pattern": " "}, max_tokens=60)
topic.chat("disable_any_whitespace", structured_outputs={"json": PERSON, "disable_any_whitespace": True}, max_tokens=60)
topic.chat("both fields", structured_outputs={"choice": ["a"]}, response_format=schema(PERSON), max_tokens=60)
topic.chat("both fields, one of text", structured_outputs={"choice": ["a"]}, response_format={"type": "text"})
topic.chat("guided_choice of old", guided_choice=["positive", "negative"])
topic.chat("choice drawn", structured_outputs={"choice": ["red", "green", "blue"]}, temperature=1.5, seed=2)
topic.chat("choice with logprobs", structured_outputs={"choice": ["red", "green"]}, logprobs=True, top_logprobs=2)
