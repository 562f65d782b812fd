"""Answers of pooling models, as OpenAI's, Cohere's and vLLM's clients read them."""

import base64
import sys
from array import array
from typing import Literal

import msgspec
from msgspec import Struct
from typing_extensions import TypedDict

from api.openai.pooling import EmbeddingRequest, RerankRequest
from cluster.ids import JobId
from cluster.messages.money import Usage
from cluster.messages.work import Accepted, Finished


class PooledText(Struct, frozen=True):
    """The text of such a job, as its engine writes it: vectors as base64 of little-endian float32, or scores."""

    vectors: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()


class PoolingUsage(TypedDict):
    prompt_tokens: int
    total_tokens: int
    completion_tokens: int
    prompt_tokens_details: None
    completion_tokens_details: None


class RerankUsage(TypedDict):
    prompt_tokens: int
    total_tokens: int


class Embedding(TypedDict):
    """A vector: numbers, or base64 of float32 where that was asked for."""

    index: int
    object: Literal["embedding"]
    embedding: list[float] | str


class Embeddings(TypedDict):
    """A vector for each input, in their order. The header `X-Job-Id` names the job."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[Embedding]
    usage: PoolingUsage


class Score(TypedDict):
    index: int
    object: Literal["score"]
    score: float


class Scores(TypedDict):
    """A score for each pair, in their order. The header `X-Job-Id` names the job."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[Score]
    usage: PoolingUsage


class RankedDocument(TypedDict):
    text: str
    multi_modal: None


class Ranked(TypedDict):
    """A document, and where it stood in the request."""

    index: int
    document: RankedDocument
    relevance_score: float


class Ranking(TypedDict):
    """The documents, the most relevant first. The header `X-Job-Id` names the job."""

    id: str
    model: str
    usage: RerankUsage
    results: list[Ranked]


def embeddings(wanted: EmbeddingRequest, accepted: Accepted, text: str, end: Finished) -> Embeddings:
    return {
        "id": _id("embd", accepted.id),
        "object": "list",
        "created": accepted.created_ms // 1000,
        "model": accepted.model,
        "data": [
            {"index": index, "object": "embedding", "embedding": _embedding(vector, wanted)}
            for index, vector in enumerate(_read(text).vectors)
        ],
        "usage": _usage(end.usage),
    }


def scores(accepted: Accepted, text: str, end: Finished) -> Scores:
    return {
        "id": _id("score", accepted.id),
        "object": "list",
        "created": accepted.created_ms // 1000,
        "model": accepted.model,
        "data": [{"index": index, "object": "score", "score": score} for index, score in enumerate(_read(text).scores)],
        "usage": _usage(end.usage),
    }


def ranking(wanted: RerankRequest, accepted: Accepted, text: str, end: Finished) -> Ranking:
    ranked = sorted(enumerate(_read(text).scores), key=lambda each: each[1], reverse=True)
    told = ranked[: wanted.top_n or None]
    return {
        "id": _id("score", accepted.id),
        "model": accepted.model,
        "usage": {"prompt_tokens": end.usage.prompt_tokens, "total_tokens": end.usage.prompt_tokens},
        "results": [
            {"index": index, "document": {"text": wanted.texts[index], "multi_modal": None}, "relevance_score": score}
            for index, score in told
        ],
    }


def _embedding(vector: str, wanted: EmbeddingRequest) -> list[float] | str:
    order = sys.byteorder if wanted.endianness == "native" else wanted.endianness
    if wanted.encoding_format == "base64" and order == "little":
        return vector
    numbers = array("f", base64.b64decode(vector))
    if wanted.encoding_format == "base64":
        numbers.byteswap()
        return base64.b64encode(numbers.tobytes()).decode()
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


def _read(text: str) -> PooledText:
    return msgspec.json.decode(text, type=PooledText)


def _usage(usage: Usage) -> PoolingUsage:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "total_tokens": usage.prompt_tokens,
        "completion_tokens": 0,
        "prompt_tokens_details": None,
        "completion_tokens_details": None,
    }


def _id(kind: str, job_id: JobId) -> str:
    return f"{kind}-{job_id.removeprefix('job_')}"
