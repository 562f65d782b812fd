"""The routes under /v1."""

from functools import partial

from fastapi import APIRouter, Request, Response

from api.http.answers import Answer
from api.http.dependencies import Caller, CurrentGateway
from api.http.openapi import EVENTS, GUARDED, error_content, errors, takes
from api.http.parameters import IdempotencyKey
from api.http.uploads import LargeBody, check_size
from api.openai.answering import Chunks, Tell, answered
from api.openai.completions import ChatCompletion, chat_chunks, completion
from api.openai.error_shape import OpenAIError
from api.openai.models import OpenAIModel, OpenAIModelList, usable
from api.openai.requests import ChatCompletionRequest, parse_chat
from cluster.errors import (
    BadRequest,
    BudgetExceeded,
    Conflict,
    ContextLengthExceeded,
    Forbidden,
    JobTimeout,
    ModelNotFound,
    NoCapacity,
    PayloadTooLarge,
)
from cluster.messages.work import Order

router = APIRouter(tags=["openai"], responses=errors(*GUARDED, body=OpenAIError))

JOB_HEADER = {"X-Job-Id": {"schema": {"type": "string"}, "description": "The job that this is the answer of"}}
_ANSWERED = {
    "description": "The answer; with `stream: true` events of `chat.completion.chunk`, then `[DONE]` or an error",
    "content": EVENTS,
    "headers": JOB_HEADER,
}
REFUSALS = errors(
    BadRequest,
    ContextLengthExceeded,
    BudgetExceeded,
    Forbidden,
    ModelNotFound,
    Conflict,
    PayloadTooLarge,
    NoCapacity,
    body=OpenAIError,
)
TIMEOUT = {
    "description": f"`{JobTimeout.code}`: {JobTimeout.__doc__}",
    "content": error_content(OpenAIError),
    "headers": JOB_HEADER,
}


@router.post(
    "/chat/completions",
    response_model=ChatCompletion,
    responses={200: _ANSWERED, **REFUSALS, 504: TIMEOUT},
    openapi_extra=takes(ChatCompletionRequest),
)
async def create_chat_completion(
    request: Request, gateway: CurrentGateway, caller: Caller, upload: LargeBody, idempotency_key: IdempotencyKey
) -> Response:
    """Submit a chat job and wait for its answer, or with `stream: true` for its parts. Hanging up cancels the job."""
    order, tell, chunks = await _ordered(upload.take())
    return await answered(request, gateway, caller, order, idempotency_key, tell, chunks, upload.done)


async def _ordered(body: bytes) -> tuple[Order, Tell, Chunks | None]:
    """What is asked for, and how its answer is told. Raises BadRequest."""
    wanted = parse_chat(body)
    order = await wanted.order(body)
    check_size(body, order.media)
    chunks = partial(chat_chunks, wanted.chunks()) if wanted.stream else None
    return order, partial(completion, told=wanted.told()), chunks


@router.get("/models", response_model=OpenAIModelList)
async def list_openai_models(gateway: CurrentGateway, caller: Caller) -> Response:
    """The models that this key may submit jobs for, and their adapters."""
    views = await gateway.models.views()
    body: OpenAIModelList = {
        "object": "list",
        "data": list(usable(gateway.catalogue, views, caller)),
    }
    return Answer(body)


@router.get("/models/{model:path}", response_model=OpenAIModel, responses=errors(ModelNotFound, body=OpenAIError))
async def get_openai_model(gateway: CurrentGateway, caller: Caller, model: str) -> Response:
    """A model or an adapter that this key may submit jobs for, by its id or an alias."""
    wanted = (await gateway.choice(model)).id
    for body in usable(gateway.catalogue, await gateway.models.views(), caller):
        if body["id"] == wanted:
            return Answer(body)
    raise ModelNotFound(f"Model {model} cannot be used now")
