"""What clients ask of pooling models, what is refused of it, and what they are told of an engine's answer."""

import base64
import json
from array import array
from collections.abc import Callable
from typing import Any

import pytest

from api.openai.error_shape import error_body
from api.openai.pooling import MOST_INPUTS, parse_embedding, parse_rerank, parse_score
from api.openai.vectors import embeddings, ranking, scores
from cluster.catalogue import Model
from cluster.errors import BadRequest
from cluster.ids import JobId
from cluster.limits.pricing import most_prompt_tokens
from cluster.messages.money import Usage
from cluster.messages.work import Accepted, Finished, Form, Order

ACCEPTED = Accepted(JobId("job_1"), "m", 1_700_000_000_123)
END = Finished(Usage(7), "stop")
NUMBERS = [0.5, -2.0]
VECTOR = base64.b64encode(array("f", NUMBERS).tobytes()).decode()
SWAPPED = base64.b64encode(bytes([0x3F, 0, 0, 0, 0xC0, 0, 0, 0])).decode()
TOLD = json.dumps({"vectors": [VECTOR], "scores": []})


def order(parse: Callable[[bytes], Any], **fields: Any) -> Order:
    body = json.dumps({"model": "m", **fields}).encode()
    told: Order = parse(body).order(body)
    return told


def form(parse: Callable[[bytes], Any], **fields: Any) -> tuple[str, dict[str, Any], int]:
    made = order(parse, **fields).form
    assert made is not None
    assert made.pools
    return made.kind, json.loads(made.body), made.prompts


def test_an_engine_is_asked_in_vllms_own_form_without_what_says_how_the_answer_is_written() -> None:
    body = {"input": ["a", "b"], "encoding_format": "base64", "user": "u", "dimensions": 2, "priority": 0}
    assert form(parse_embedding, **body) == ("embedding", {"input": ["a", "b"], "dimensions": 2}, 2)
    assert form(parse_embedding, input=[1, 2, 3])[2] == 1
    assert form(parse_embedding, input=[[1, 2], [3]])[2] == 2
    assert form(parse_embedding, input=[[1.0, 2], [3.0]])[2] == 2
    assert form(parse_score, text_1="a", text_2=["b", "c"])[2] == 2
    assert form(parse_rerank, query="a", documents=["b", "c", "d"], top_n=1)[2] == 3


def test_nothing_is_generated() -> None:
    assert order(parse_embedding, input="a").sampling.max_tokens == 0


@pytest.mark.parametrize(
    ("parse", "body", "param"),
    [
        (parse_embedding, {}, "input"),
        (parse_embedding, {"input": []}, "input"),
        (parse_embedding, {"input": [[]]}, "input"),
        (parse_embedding, {"input": ["a", 1]}, "input"),
        (parse_embedding, {"input": [True]}, "input"),
        (parse_embedding, {"input": [-1]}, "input"),
        (parse_embedding, {"input": "a\0"}, "input"),
        (parse_embedding, {"input": ["a"] * (MOST_INPUTS + 1)}, "input"),
        (parse_embedding, {"input": "a", "messages": [{"role": "user", "content": "a"}]}, "input"),
        (parse_embedding, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages"),
        (parse_embedding, {"input": "a", "encoding_format": "bytes"}, "encoding_format"),
        (parse_embedding, {"input": "a", "embed_dtype": "float16"}, "embed_dtype"),
        (parse_embedding, {"input": "a", "padding": "max_length"}, "padding"),
        (parse_embedding, {"input": "a", "dimensions": 0}, "dimensions"),
        (parse_score, {"text_1": "a"}, "text_1"),
        (parse_score, {"queries": "a", "text_2": "b"}, "text_1"),
        (parse_score, {"text_1": "a", "text_2": [{"content": []}]}, "text_2"),
        (parse_score, {"queries": "a", "documents": ["b"] * (MOST_INPUTS + 1)}, "documents"),
        (parse_rerank, {"query": "a"}, "documents"),
        (parse_rerank, {"query": "a", "documents": []}, "documents"),
        (parse_rerank, {"query": "a", "documents": ["b"], "top_n": -1}, "top_n"),
    ],
)
def test_what_cannot_be_is_refused_by_name(parse: Callable[[bytes], Any], body: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        order(parse, **body)
    assert error_body(refused.value)["error"]["param"] == param


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, NUMBERS),
        ({"encoding_format": "float", "endianness": "big"}, NUMBERS),
        ({"encoding_format": "base64"}, VECTOR),
        ({"encoding_format": "base64", "endianness": "little"}, VECTOR),
        ({"encoding_format": "base64", "endianness": "big"}, SWAPPED),
    ],
)
def test_a_vector_is_told_as_it_was_asked_for(fields: dict[str, Any], told: Any) -> None:
    wanted = parse_embedding(json.dumps({"model": "m", "input": "a", **fields}).encode())
    body = embeddings(wanted, ACCEPTED, TOLD, END)
    assert body["data"] == [{"index": 0, "object": "embedding", "embedding": told}]
    assert (body["id"], body["created"], body["usage"]["total_tokens"]) == ("embd-1", 1_700_000_000, 7)


def test_scores_keep_their_order_and_a_ranking_has_its_own() -> None:
    text = json.dumps({"vectors": [], "scores": [0.25, 0.75, 0.5]})
    assert [each["score"] for each in scores(ACCEPTED, text, END)["data"]] == [0.25, 0.75, 0.5]
    body = json.dumps({"model": "m", "query": "q", "documents": ["a", "b", "c"], "top_n": 2}).encode()
    told = ranking(parse_rerank(body), ACCEPTED, text, END)
    assert [(each["index"], each["document"]["text"], each["relevance_score"]) for each in told["results"]] == [
        (1, "b", 0.75),
        (2, "c", 0.5),
    ]
    assert told["usage"] == {"prompt_tokens": 7, "total_tokens": 7}


@pytest.mark.parametrize(
    ("engine", "pools"),
    [
        ({}, False),
        ({"runner": "generate"}, False),
        ({"runner": "pooling"}, True),
        ({"convert": "embed"}, True),
        ({"convert": "none"}, False),
        ({"runner": "generate", "convert": "embed"}, False),
    ],
)
def test_the_catalogue_says_which_models_pool(engine: dict[str, Any], pools: bool) -> None:
    assert Model("m", source="org/m", engine=engine).pools is pools


def test_a_budget_has_room_for_a_query_with_each_of_its_documents() -> None:
    query = "a" * 1000
    said = Form("score", json.dumps({"text_1": query, "text_2": ["b"] * 10}), "text_2", 10)
    assert most_prompt_tokens((), None, said) >= 10 * len(query)
    assert most_prompt_tokens((), 42, said) == 42
