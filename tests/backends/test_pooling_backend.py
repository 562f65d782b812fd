"""A pooling model in the real vLLM: what its jobs are told, and what is refused. One engine for each model."""

import base64
import json
import math
from array import array
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from actors.backends import create
from actors.backends.base import Backend, BackendDied
from cluster.catalogue import Model
from cluster.messages.work import NOTHING_GENERATED, Asking, Dispatch, Failed, Finished, Form, FormKind, Sampling
from tests.support.backend_suite import PATIENCE_S, Inbox, Subject
from tests.support.pooling_models import DIMENSIONS, MOST_TOKENS, embedding_model, scoring_model

pytestmark = [
    pytest.mark.usefixtures("environment"),
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed"),
]

SAMPLING = Sampling(max_tokens=NOTHING_GENERATED)


def model(source: Path, **engine: Any) -> Model:
    return Model(id="m", source=str(source), gpus=0, engine=engine)


class Pooling:
    """A loaded pooling model."""

    def __init__(self, backend: Backend) -> None:
        self.inbox = Inbox()
        loaded = backend.load(self.inbox.sink, self.inbox.died)
        self.backend = backend
        self.subject = Subject(backend, self.inbox, loaded, (), lambda ids: "", SAMPLING)

    def ask(self, kind: FormKind, **body: Any) -> Asking:
        return self.backend.ask(Form(kind, json.dumps(body)), SAMPLING).result(PATIENCE_S)

    def answer(self, kind: FormKind, **body: Any) -> tuple[dict[str, Any], Finished]:
        text, end = self.run(kind, **body)
        assert isinstance(end, Finished)
        assert end.usage.completion_tokens == 0
        assert end.usage.prompt_tokens == self.ask(kind, **body).tokens
        return json.loads(text), end

    def run(self, kind: FormKind, **body: Any) -> tuple[str, Finished | Failed]:
        dispatch = self.dispatch(kind, **body)
        self.backend.start([dispatch])
        end = self.inbox.end(dispatch)
        (chunk,) = self.inbox.of(dispatch)
        assert chunk.token_ids == ()
        return chunk.text, end

    def dispatch(self, kind: FormKind, **body: Any) -> Dispatch:
        dispatch = self.subject.dispatch()
        job = replace(dispatch.job, form=Form(kind, json.dumps(body)), sampling=SAMPLING)
        return replace(dispatch, job=job)

    def vectors(self, **body: Any) -> list[list[float]]:
        answer, _ = self.answer("embedding", **body)
        return [array("f", base64.b64decode(vector)).tolist() for vector in answer["vectors"]]

    def scores(self, kind: FormKind, **body: Any) -> list[float]:
        scores: list[float] = self.answer(kind, **body)[0]["scores"]
        return scores


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pooling]:
    source = embedding_model(tmp_path_factory.mktemp("embedder"))
    backend = create(model(source, runner="pooling"), str(source))
    yield Pooling(backend)
    backend.close()


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pooling]:
    source = scoring_model(tmp_path_factory.mktemp("scorer"))
    backend = create(model(source, runner="pooling"), str(source))
    yield Pooling(backend)
    backend.close()


def test_a_text_has_a_vector_whatever_it_is_asked_with(embedder: Pooling) -> None:
    alone, beside = embedder.vectors(input="ab"), embedder.vectors(input=["cd ef", "ab"])
    assert len(alone[0]) == DIMENSIONS
    assert math.isclose(math.hypot(*alone[0]), 1.0, abs_tol=1e-3)
    assert alone[0] == pytest.approx(beside[1], abs=1e-3)
    assert alone[0] != pytest.approx(beside[0], abs=1e-1)
    ids = [2, 4, 31, 3]  # [CLS] a ##b [SEP]
    assert embedder.vectors(input=ids, add_special_tokens=False)[0] == pytest.approx(alone[0], abs=1e-3)
    assert embedder.vectors(input=[ids, ids])[1] == pytest.approx(alone[0], abs=1e-3)


def test_numbers_are_those_of_vllms_own_server(embedder: Pooling) -> None:
    """As `vllm serve` told them of the same weights."""
    assert embedder.vectors(input="ab")[0][:2] == pytest.approx([-0.26490, 0.15137], abs=1e-3)
    assert embedder.vectors(input=[5, 6, 7])[0][:2] == pytest.approx([-0.07709, -0.02268], abs=1e-3)
    assert embedder.scores("score", text_1="ab", text_2=["ab", "cd ef"]) == pytest.approx([1.0, 0.72216], abs=1e-3)
    assert embedder.scores("score", queries=["a", "b"], documents=["ab", "cd"]) == pytest.approx(
        [0.61037, 0.65435], abs=1e-3
    )


def test_usage_counts_the_tokens_of_all_inputs(embedder: Pooling) -> None:
    assert embedder.answer("embedding", input=["ab", "c"])[1].usage.prompt_tokens == 4 + 3
    assert embedder.answer("embedding", input="a b c d e", truncate_prompt_tokens=3)[1].usage.prompt_tokens == 3
    # A query is read with each of its documents: vLLM counts it so.
    assert embedder.answer("score", text_1="ab", text_2=["a", "b c"])[1].usage.prompt_tokens == (4 + 1 + 3) + (
        4 + 1 + 4
    )


def test_scores_of_an_embedding_model_are_cosines(embedder: Pooling) -> None:
    (query,), documents = embedder.vectors(input="ab"), embedder.vectors(input=["ab", "cd ef"])
    expected = [sum(a * b for a, b in zip(query, document, strict=True)) for document in documents]
    assert embedder.scores("score", text_1="ab", text_2=["ab", "cd ef"]) == pytest.approx(expected, abs=1e-3)
    assert embedder.scores("rerank", query="ab", documents=["ab", "cd ef"]) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("kind", "body", "refusal"),
    [
        ("embedding", {"input": "a " * MOST_TOKENS}, "maximum context length is 64"),
        ("embedding", {"input": "a", "truncate_prompt_tokens": 65}, "truncate_prompt_tokens value is greater"),
        ("embedding", {"input": "a", "dimensions": 8}, "does not support Matryoshka"),
        ("embedding", {"input": []}, "at least one prompt"),
        ("embedding", {"input": [9999]}, "Token id 9999 is out of vocabulary"),
        ("embedding", {"input": [[]]}, "prompt cannot be empty"),
        ("embedding", {"input": "a", "normalize": True}, "was removed"),
        ("embedding", {"input": ["a"] * 20_000}, "ask for fewer at once"),
        ("score", {"text_1": ["a", "b"], "text_2": ["a", "b", "c"]}, "Input lengths must be either"),
        ("score", {"text_1": "a", "text_2": "b", "max_tokens_per_doc": 64}, "must be less than max_model_len"),
        ("chat", {"messages": [{"role": "user", "content": "a"}]}, "generates no text"),
    ],
)
def test_refusals_are_vllms(embedder: Pooling, kind: FormKind, body: dict[str, Any], refusal: str) -> None:
    asking = embedder.ask(kind, **body)
    assert refusal in asking.refusal
    text, end = embedder.run(kind, **body)
    assert isinstance(end, Failed)
    assert (text, end.error) == ("", "engine_error")
    assert refusal in end.error_message


def test_what_is_aborted_is_never_told_and_others_go_on(embedder: Pooling) -> None:
    dispatch = embedder.dispatch("embedding", input=["a b c d"] * 512)
    embedder.backend.start([dispatch])
    embedder.backend.abort([(dispatch.job.id, dispatch.attempt)])
    assert embedder.vectors(input="ab")
    assert embedder.inbox.of(dispatch) == []


def test_a_cross_encoder_scores_pairs_and_embeds_nothing(scorer: Pooling) -> None:
    first, second = scorer.scores("score", text_1="ab", text_2=["ab", "cd ef"])
    assert first != second
    assert scorer.scores("rerank", query="ab", documents=["cd ef", "ab"]) == pytest.approx([second, first], abs=1e-3)
    assert scorer.ask("embedding", input="a").refusal == "The model does not support Embeddings API"


def test_a_pooling_model_must_be_said_to_be_one(tmp_path: Path) -> None:
    source = embedding_model(tmp_path)
    backend = create(model(source), str(source))
    try:
        with pytest.raises(BackendDied, match="must say `runner: pooling`"):
            backend.load(lambda chunks: None, lambda error: None)
    finally:
        backend.close()
