"""The route of completions, at /v1."""

from fastapi import APIRouter, Request, Response

from api.http.answers import Answer
from api.http.dependencies import Body, Caller, CurrentGateway
from api.http.openapi import GUARDED, errors, takes
from api.http.parameters import IdempotencyKey
from api.openai.client_watch import ClientWatch, WatchedStream, accept_for_client
from api.openai.error_shape import OpenAIError, failure_body, failure_headers, failure_status
from api.openai.routes import JOB_HEADER, REFUSALS, TIMEOUT
from api.openai.text_answers import TextChunks, TextCompletion, text_completion
from api.openai.text_completions import CompletionRequest, parse_completion
from cluster.messages.work import Failed

router = APIRouter(tags=["openai"], responses=errors(*GUARDED, body=OpenAIError))

_ANSWERED = {
    "description": "The answer; with `stream: true` events of the same shape, then `[DONE]` or an error",
    "content": {"text/event-stream": {}},
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
    accepted = await accept_for_client(gateway, caller, await asked.order(body), idempotency_key)
    watch = ClientWatch(gateway, caller, accepted, is_new=idempotency_key is None)
    headers = {"X-Job-Id": accepted.id}
    if asked.stream:
        return WatchedStream(watch, headers, TextChunks(accepted, wanted).encode)
    answer, end = await watch.whole(request.receive)
    if isinstance(end, Failed):
        return Answer(failure_body(end), failure_status(end), headers | failure_headers(end))
    return Answer(text_completion(accepted, answer, end, wanted), headers=headers)
