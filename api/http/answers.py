"""Answers: JSON that is written once and not checked again, and errors in the shape that clients of the path expect.

What is under a path with a shape of its own registers it with `add_handlers`; all else has the one of this API.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import msgspec
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Scope
from typing_extensions import TypedDict

from actors.wire.calls import AWAY
from actors.wire.outage import Outage
from api.http import routes
from api.http.front.paths import is_under
from api.http.front.request_ids import request_id_of
from cluster.errors import (
    BadRequest,
    ConfigError,
    InfernetError,
    InternalError,
    MethodNotAllowed,
    NoCapacity,
    NotFound,
    RateLimited,
    StartError,
    Unauthorized,
)
from cluster.limits.windows import Decision

RETRY_AFTER_S = 1
"""When to come again after a 503."""

_NOT_FOR_CLIENTS = (ConfigError, StartError)

_encode = msgspec.json.Encoder().encode

logger = logging.getLogger(__name__)


class Answer(JSONResponse):
    """A body that is what it is to be. Its content is made of what JSON knows."""

    def render(self, content: Any) -> bytes:
        return _encode(content)


class Error(TypedDict):
    """What went wrong."""

    error: Annotated[str, Field(description="A code that does not change", examples=["bad_request"])]
    error_message: Annotated[str, Field(description="What to do about it; of a bad request, the field's name first")]


class ErrorShape(NamedTuple):
    """How errors look under these `prefixes`: their body, and headers besides those that all errors have."""

    prefixes: tuple[str, ...]
    body: Callable[[InfernetError], Any]
    headers: Callable[[InfernetError], Mapping[str, str]]


def error_body(error: InfernetError) -> Error:
    return {"error": error.code, "error_message": error.message}


_OWN_SHAPE = ErrorShape((), error_body, lambda _: {})


def error_response(request: Request, error: Exception) -> Response:
    """The answer to this request that tells of this error. Of one that nobody foresaw it says nothing."""
    error = tellable(request, error)
    shape = _shape(request)
    headers = {**shape.headers(error), **error_headers(request, error)}
    return JSONResponse(shape.body(error), error.status, headers)


def tellable(request: Request, error: Exception) -> InfernetError:
    """What a client may be told of this error. One that nobody foresaw is logged."""
    error = _translated(request, error)
    if isinstance(error, AWAY):
        _outage(request).failed(error)
        return NoCapacity("The control plane does not answer; try again")
    if not isinstance(error, InfernetError) or isinstance(error, _NOT_FOR_CLIENTS):
        # Neither the message nor the traceback: they may hold what the client sent.
        logger.error("%s failed: %s", told_of(request.scope), type(error).__name__)
        return InternalError()
    return error


def told_of(scope: Scope) -> str:
    """A request, for a line of the log: what was asked, and the id that the answer tells."""
    return f"request {request_id_of(scope)}: {scope['method']} {scope['path']}"


def add_handlers(app: FastAPI, *shapes: ErrorShape) -> None:
    """Whatever goes wrong in the application is answered in one of these shapes, or else in this API's own."""
    app.state.error_shapes = shapes
    app.state.outage = Outage("answering requests")
    for error in (InfernetError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(error, _handle)


async def _handle(request: Request, error: Exception) -> Response:
    return error_response(request, error)


def _translated(request: Request, error: Exception) -> Exception:
    """The framework's own errors as ours."""
    match error:
        case HTTPException(status_code=MethodNotAllowed.status):
            return MethodNotAllowed(f"{request.method} is not allowed here")
        case HTTPException(status_code=NotFound.status):
            return NotFound("No such path")
        case HTTPException(detail=detail):
            return BadRequest(str(detail))
        case RequestValidationError():
            problem = error.errors()[0]
            return BadRequest(f"{problem['loc'][-1]}: {problem['msg']}")
    return error


def _outage(request: Request) -> Outage:
    outage: Outage = request.app.state.outage
    return outage


def _shape(request: Request) -> ErrorShape:
    shapes: tuple[ErrorShape, ...] = request.app.state.error_shapes
    path = request.scope["path"]
    return next((shape for shape in shapes if any(is_under(each, path) for each in shape.prefixes)), _OWN_SHAPE)


def error_headers(request: Request, error: InfernetError) -> Mapping[str, str]:
    """What an error tells besides its body, in whichever shape that is."""
    match error:
        case Unauthorized():
            return {"WWW-Authenticate": "Bearer"}
        case MethodNotAllowed():
            return {"Allow": ", ".join(sorted(_allowed_methods(request)))}
        case NoCapacity():
            return {"Retry-After": str(RETRY_AFTER_S)}
        case RateLimited():
            return {"Retry-After": str(error.retry_after_s), **limit_headers(error)}
    return {}


def limit_headers(window: Decision | RateLimited) -> dict[str, str]:
    """What an answer tells of the window that it was charged to, or refused by."""
    return {
        "X-RateLimit-Limit": str(window.limit),
        "X-RateLimit-Remaining": str(window.remaining if isinstance(window, Decision) else 0),
        "X-RateLimit-Reset": str(window.reset_s),
    }


def _allowed_methods(request: Request) -> set[str]:
    """Of all routes of the path: the framework tells those of the first one only."""
    methods = {method for route in routes.of_path(request.scope) for method in route.methods or ()}
    return methods | {"HEAD"} if "GET" in methods else methods
