"""What vLLM is told of a schema, and how a grammar takes in the tokens resumed from. Without vLLM."""

import json
from importlib.metadata import entry_points
from types import SimpleNamespace
from typing import Any

import pytest

from actors.backends.vllm import plugin, resuming, sparing, structured
from actors.backends.vllm.sampling import resumed_seed
from cluster.json_schemas import UnsupportedSchema


def test_vllm_finds_the_plugin() -> None:
    (entry_point,) = entry_points(group="vllm.general_plugins", name="infernet")
    assert entry_point.load() is plugin.install


def test_lengths_become_patterns() -> None:
    """xgrammar would let line ends and other control characters into a string that has nothing but a length."""
    schema = {
        "type": "object",
        "properties": {
            "maxLength": {"type": "string", "maxLength": 5},
            "b": {"type": "array", "items": {"type": ["string", "null"], "minLength": 2}},
            "c": {"type": "string", "minLength": 1, "maxLength": 3},
            "d": {"enum": [{"maxLength": 1}]},
        },
        "default": {"maxLength": 1},
    }
    assert json.loads(structured.grammar_schema(json.dumps(schema))) == {
        "type": "object",
        "properties": {
            "maxLength": {"type": "string", "pattern": "^.{0,5}$"},
            "b": {"type": "array", "items": {"type": ["string", "null"], "pattern": "^.{2,}$"}},
            "c": {"type": "string", "pattern": "^.{1,3}$"},
            "d": {"enum": [{"maxLength": 1}]},
        },
        "default": {"maxLength": 1},
    }


def test_a_structural_tag_is_sparing_with_white_space_in_its_json() -> None:
    schema = {"properties": {"type": {"const": "json_schema"}, "json_schema": {}}}
    spared = {"type": "json_schema", "json_schema": schema}
    said = {"type": "json_schema", "json_schema": True, "max_whitespace_cnt": 4}
    other = {"type": "json_schema", "json_schema": schema, "style": "qwen_xml"}
    tags = [{"type": "tag", "begin": "<", "content": each, "end": ">"} for each in (spared, said, other)]

    def of(*tags: dict[str, Any]) -> dict[str, Any]:
        return {"type": "structural_tag", "format": {"type": "triggered_tags", "triggers": ["<"], "tags": list(tags)}}

    first = tags[0] | {"content": {**spared, "max_whitespace_cnt": 1}}
    assert json.loads(sparing.sparing(json.dumps(of(*tags)))) == of(first, *tags[1:])


def test_an_unsupported_schema_is_refused() -> None:
    with pytest.raises(UnsupportedSchema, match=r"^'not' is not supported$"):
        structured.grammar_schema('{"not": {}}')


def test_says_what_vllm_says_without_its_sources() -> None:
    error = ValueError("Failed to transform: [18:20:52] /project/cpp/json_schema_converter.cc:4944: minItems is\n less")
    assert structured.reason(error) == "Failed to transform: minItems is less"


class Grammar:
    def __init__(self, follows: bool) -> None:
        self.follows = follows
        self.accepted: list[int] = []

    def accept_tokens(self, request_id: str, tokens: list[int]) -> bool:
        self.accepted += tokens
        return self.follows


def request(resumed: list[int], free: int = 0) -> Any:
    params = SimpleNamespace(extra_args={resuming.FREE: free})
    return SimpleNamespace(
        request_id="job/2", prompt_token_ids=[1, 2, 3], output_token_ids=resumed, sampling_params=params
    )


@pytest.mark.parametrize("resumed", [[], [4, 5]])
def test_a_grammar_begins_after_the_resumed_tokens(resumed: list[int]) -> None:
    grammar = Grammar(follows=True)
    assert structured.resume(grammar, request(resumed)) is grammar
    assert grammar.accepted == resumed


@pytest.mark.parametrize(("free", "constrained"), [(1, [5]), (2, [])])
def test_no_grammar_is_told_of_the_thoughts_before_the_answer(free: int, constrained: list[int]) -> None:
    grammar = Grammar(follows=True)
    structured.resume(grammar, request([4, 5], free))
    assert grammar.accepted == constrained


def test_tokens_that_do_not_follow_the_grammar_end_the_request() -> None:
    with pytest.raises(ValueError, match="job/2: its 2 resumed tokens do not follow its grammar"):
        structured.resume(Grammar(follows=False), request([4, 5]))


@pytest.mark.parametrize(
    ("seed", "resumed", "given"),
    [(7, 0, 7), (7, 5, 12), (-1, 0, 2**63 - 1), (-6, 5, 2**63 - 1), (2**63 - 1, 1, 0), (-(2**63), 0, 0)],
)
def test_a_seed_is_never_what_vllm_takes_for_none(seed: int, resumed: int, given: int) -> None:
    assert resumed_seed(seed, resumed) == given
