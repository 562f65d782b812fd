"""The routes of pooling models. They are where vLLM's own server has them."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

from api.http.answers import Answer
from api.http.dependencies import Body, Caller, CurrentGateway
from api.http.openapi import GUARDED, errors, takes
from api.http.parameters import IdempotencyKey
from api.openai.client_watch import ClientWatch, accept_for_client
from api.openai.error_shape import OpenAIError, failure_body, failure_headers, failure_status
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
from api.replica.gateway import Gateway
from cluster.messages.people import Principal
from cluster.messages.work import Accepted, Failed, Finished, Order

router = APIRouter(tags=["openai"], responses=errors(*GUARDED, body=OpenAIError))
_RESPONSES: dict[int | str, dict[str, Any]] = {200: {"headers": JOB_HEADER}, **REFUSALS, 504: TIMEOUT}

Tell = Callable[[Accepted, str, Finished], Mapping[str, Any]]


@router.post("/v1/embeddings", response_model=Embeddings, responses=_RESPONSES, openapi_extra=takes(EmbeddingRequest))
async def create_embeddings(
    request: Request, gateway: CurrentGateway, caller: Caller, body: Body, idempotency_key: IdempotencyKey
) -> Response:
    """Submit a job that makes vectors of texts, and wait for them. Hanging up cancels the job."""
    wanted = parse_embedding(body)
    return await _answered(request, gateway, caller, wanted.order(body), idempotency_key, partial(embeddings, wanted))


@router.post("/v1/score", response_model=Scores, responses=_RESPONSES, openapi_extra=takes(ScoreRequest))
@router.post("/score", response_model=Scores, responses=_RESPONSES, openapi_extra=takes(ScoreRequest))
async def create_scores(
    request: Request, gateway: CurrentGateway, caller: Caller, body: Body, idempotency_key: IdempotencyKey
) -> Response:
    """Submit a job that tells how alike texts are, and wait for it. Hanging up cancels the job."""
    return await _answered(request, gateway, caller, parse_score(body).order(body), idempotency_key, scores)


@router.post("/v1/rerank", response_model=Ranking, responses=_RESPONSES, openapi_extra=takes(RerankRequest))
@router.post("/v2/rerank", response_model=Ranking, responses=_RESPONSES, openapi_extra=takes(RerankRequest))
@router.post("/rerank", response_model=Ranking, responses=_RESPONSES, openapi_extra=takes(RerankRequest))
async def create_ranking(
    request: Request, gateway: CurrentGateway, caller: Caller, body: Body, idempotency_key: IdempotencyKey
) -> Response:
    """Submit a job that puts documents in the order of a query, and wait for it. Hanging up cancels the job."""
    wanted = parse_rerank(body)
    return await _answered(request, gateway, caller, wanted.order(body), idempotency_key, partial(ranking, wanted))


async def _answered(
    request: Request, gateway: Gateway, caller: Principal, order: Order, idempotency_key: str | None, told: Tell
) -> Response:
    accepted = await accept_for_client(gateway, caller, order, idempotency_key)
    watch = ClientWatch(gateway, caller, accepted, is_new=idempotency_key is None)
    headers = {"X-Job-Id": accepted.id}
    answer, end = await watch.whole(request.receive)
    if isinstance(end, Failed):
        return Answer(failure_body(end), failure_status(end), headers | failure_headers(end))
    return Answer(told(accepted, answer.text, end), headers=headers)
