"""The route of completions, at /v1."""

from functools import partial

from fastapi import APIRouter, Request, Response

from api.http.dependencies import Body, Caller, CurrentGateway
from api.http.openapi import EVENTS, GUARDED, errors, takes
from api.http.parameters import IdempotencyKey
from api.openai.answering import answered
from api.openai.error_shape import OpenAIError
from api.openai.routes import JOB_HEADER, REFUSALS, TIMEOUT
from api.openai.text_answers import TextCompletion, text_chunks, text_completion
from api.openai.text_completions import CompletionRequest, parse_completion

router = APIRouter(tags=["openai"], responses=errors(*GUARDED, body=OpenAIError))

_ANSWERED = {
    "description": "The answer; with `stream: true` events of the same shape, then `[DONE]` or an error",
    "content": EVENTS,
    "headers": JOB_HEADER,
}


@router.post(
    "/completions",
    response_model=TextCompletion,
    responses={200: _ANSWERED, **REFUSALS, 504: TIMEOUT},
    openapi_extra=takes(CompletionRequest),
)
async def create_completion(
    request: Request, gateway: CurrentGateway, caller: Caller, body: Body, idempotency_key: IdempotencyKey
) -> Response:
    """Have prompts gone on from, one or several in one job. Otherwise as chat completions."""
    asked = parse_completion(body)
    wanted = asked.wanted()
    order = await asked.order(body)
    tell = partial(text_completion, wanted=wanted)
    chunks = partial(text_chunks, wanted) if asked.stream else None
    return await answered(request, gateway, caller, order, idempotency_key, tell, chunks)
