"""What every page's route does first and last: who has signed in is known, and errors are pages."""

from collections.abc import Callable, Coroutine, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from actors.wire.calls import AWAY
from api.dashboard.problems import of_away
from api.dashboard.rendering import page
from api.http.answers import error_headers, tellable
from api.http.callers import CSRF_HEADER, SAFE_METHODS, session_cookie
from api.replica.gateway import Gateway
from cluster.errors import Forbidden, Unauthorized
from cluster.limits.windows import refusal

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class OpenRoute(APIRoute):
    """A page that anybody may see. What goes wrong is told as a page."""

    def get_route_handler(self) -> Handler:
        answer = super().get_route_handler()

        async def told(request: Request) -> Response:
            try:
                return await answer(request)
            except ClientDisconnect:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told as a page
                return await _told(request, error)

        return told


class PageRoute(OpenRoute):
    """A page for who has signed in. Others are sent to sign in. Each is charged to the key as a read."""

    def get_route_handler(self) -> Handler:
        answer = super().get_route_handler()

        async def admitted(request: Request) -> Response:
            try:
                await _admit(request)
            except Unauthorized:
                return _to_sign_in(request)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told as a page
                return await _told(request, error)
            return await answer(request)

        return admitted


def pages() -> APIRouter:
    """The routes of pages for who has signed in."""
    return APIRouter(route_class=PageRoute)


async def _admit(request: Request) -> None:
    """Raises Unauthorized, RateLimited, and Forbidden for a change that brings no token of its session.

    What is known by then of who asks, an error's page is told with, too.
    """
    gateway: Gateway = request.app.state.gateway
    cookie = session_cookie(request.headers)
    if cookie is None:
        raise Unauthorized()
    session = await gateway.sessions.read(cookie)
    request.state.session, request.state.csrf_token = session, session.csrf_token
    principal = request.state.principal = await gateway.sessions.holder(session)
    decision = await gateway.charge(principal, "reads")
    if not decision.allowed:
        raise refusal(decision, "requests")
    if request.method not in SAFE_METHODS and await _token(request) != session.csrf_token:
        raise Forbidden("This page is of another session: load it again")


async def _token(request: Request) -> str | None:
    """What scripts send as a header, and forms as a field."""
    given = request.headers.get(CSRF_HEADER)
    return given if given is not None else str((await request.form()).get("csrf_token", ""))


def _to_sign_in(request: Request) -> Response:
    if request.headers.get("HX-Request"):
        return Response(status_code=401, headers={"HX-Redirect": "/signin"})
    then = quote(_address(request)) if request.method == "GET" and request.url.path != "/" else ""
    return RedirectResponse(f"/signin?next={then}" if then else "/signin", 303)


async def _told(request: Request, error: Exception) -> Response:
    """The error as a page, or as a part of one. What may pass comes back by itself."""
    told = tellable(request, error)
    headers = error_headers(request, told)
    if request.headers.get("HX-Request"):
        return page(request, "parts/error.html", {"error": told}, told.status, headers)
    away = await _away(request) if isinstance(error, AWAY) else ()
    shown = {
        "title": HTTPStatus(told.status).phrase.capitalize(),
        "error": told,
        "problems": list(of_away(away)),
        "here": _address(request) if request.method == "GET" else None,
        "again_s": headers.get("Retry-After"),
    }
    return page(request, "error.html", shown, told.status, headers)


async def _away(request: Request) -> Sequence[str]:
    gateway: Gateway = request.app.state.gateway
    return await gateway.health.away()


def _address(request: Request) -> str:
    query = request.url.query
    return f"{request.url.path}?{query}" if query else request.url.path
