"""Requests as spans, the first of their traces or parts of those that their clients have begun.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server
"""

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actors.telemetry import origins, spans
from actors.telemetry.spans import Span
from api.http.front.request_ids import request_id_of
from cluster import traceparent

TRACEPARENT = "traceparent"
_JOB_ID = b"x-job-id"


class Traced:
    """Tells of each request whose caller is known. Of others nobody hears: anybody may send them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        span = _begun(scope) if scope["type"] == "http" and spans.are_told() else None
        if span is None:
            await self._app(scope, receive, send)
            return

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                _note_answer(span, message)
            await send(message)

        with origins.within(request_id_of(scope), span.place):
            try:
                await self._app(scope, receive, noting)
            except Exception as error:
                span.error = type(error).__name__
                raise
            finally:
                if "principal" in scope.get("state", {}):
                    _note_route(span, scope)
                    span.end()


def _begun(scope: Scope) -> Span | None:
    """The request's span, None where it is not traced: its client's decision counts, or else chance."""
    given = Headers(scope=scope).getlist(TRACEPARENT)
    parent = traceparent.read(given[0]) if len(given) == 1 else None
    place = spans.new_place(parent)
    if not (spans.by_chance(place) if parent is None else parent.is_sampled):
        return None
    return Span(scope["method"], str(place), "" if parent is None else str(parent), "server")


def _note_answer(span: Span, start: Message) -> None:
    status = start["status"]
    span.attributes["http.response.status_code"] = status
    if status >= 500:
        span.error = str(status)
    headers: Mapping[bytes, bytes] = dict(start["headers"])
    if _JOB_ID in headers:
        span.attributes["infernet.job.id"] = headers[_JOB_ID].decode()


def _note_route(span: Span, scope: Scope) -> None:
    span.attributes |= {"http.request.method": scope["method"], "infernet.request.id": request_id_of(scope)}
    if route := scope.get("route"):
        span.name = f"{scope['method']} {route.path_format}"
        span.attributes["http.route"] = route.path_format
    if job_id := scope.get("path_params", {}).get("job_id"):
        span.attributes["infernet.job.id"] = job_id
