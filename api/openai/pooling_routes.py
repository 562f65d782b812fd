"""The routes of pooling models. They are where vLLM's own server has them."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

from api.http.dependencies import Body, Caller, CurrentGateway
from api.http.openapi import GUARDED, errors, takes
from api.http.parameters import IdempotencyKey
from api.openai.answering import Tell, answered
from api.openai.error_shape import OpenAIError
from api.openai.pooling import (
    EmbeddingRequest,
    RerankRequest,
    ScoreRequest,
    parse_embedding,
    parse_rerank,
    parse_score,
)
from api.openai.routes import JOB_HEADER, REFUSALS, TIMEOUT
from api.openai.vectors import Embeddings, Ranking, Scores, embeddings, ranking, scores
from cluster.messages.work import Accepted, Finished

router = APIRouter(tags=["openai"], responses=errors(*GUARDED, body=OpenAIError))
_RESPONSES: dict[int | str, dict[str, Any]] = {200: {"headers": JOB_HEADER}, **REFUSALS, 504: TIMEOUT}


@router.post("/v1/embeddings", response_model=Embeddings, responses=_RESPONSES, openapi_extra=takes(EmbeddingRequest))
async def create_embeddings(
    request: Request, gateway: CurrentGateway, caller: Caller, body: Body, idempotency_key: IdempotencyKey
) -> Response:
    """Submit a job that makes vectors of texts, and wait for them. Hanging up cancels the job."""
    wanted = parse_embedding(body)
    tell = _of_text(partial(embeddings, wanted))
    return await answered(request, gateway, caller, wanted.order(body), idempotency_key, tell)


@router.post("/v1/score", response_model=Scores, responses=_RESPONSES, openapi_extra=takes(ScoreRequest))
@router.post("/score", response_model=Scores, responses=_RESPONSES, openapi_extra=takes(ScoreRequest))
async def create_scores(
    request: Request, gateway: CurrentGateway, caller: Caller, body: Body, idempotency_key: IdempotencyKey
) -> Response:
    """Submit a job that tells how alike texts are, and wait for it. Hanging up cancels the job."""
    return await answered(request, gateway, caller, parse_score(body).order(body), idempotency_key, _of_text(scores))


@router.post("/v1/rerank", response_model=Ranking, responses=_RESPONSES, openapi_extra=takes(RerankRequest))
@router.post("/v2/rerank", response_model=Ranking, responses=_RESPONSES, openapi_extra=takes(RerankRequest))
@router.post("/rerank", response_model=Ranking, responses=_RESPONSES, openapi_extra=takes(RerankRequest))
async def create_ranking(
    request: Request, gateway: CurrentGateway, caller: Caller, body: Body, idempotency_key: IdempotencyKey
) -> Response:
    """Submit a job that puts documents in the order of a query, and wait for it. Hanging up cancels the job."""
    wanted = parse_rerank(body)
    tell = _of_text(partial(ranking, wanted))
    return await answered(request, gateway, caller, wanted.order(body), idempotency_key, tell)


def _of_text(told: Callable[[Accepted, str, Finished], Mapping[str, Any]]) -> Tell:
    """What is made of the text of an answer, which is all there is of one."""
    return lambda accepted, answer, end: told(accepted, answer.text, end)
