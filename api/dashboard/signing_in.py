"""Signing in with a key, and out again."""

from typing import Annotated

from fastapi import APIRouter, Form, Response
from starlette.requests import Request
from starlette.responses import RedirectResponse

from actors.wire.calls import AWAY
from api.dashboard.rendering import page
from api.dashboard.routing import OpenRoute, pages
from api.dashboard.whereabouts import address_of
from api.http.answers import error_headers, tellable
from api.http.callers import SESSION_COOKIE, session_cookie
from api.http.dependencies import CurrentGateway
from api.replica.sessions import LASTS_S
from cluster.errors import RateLimited, Unauthorized

router = APIRouter(route_class=OpenRoute)
_signed_in = pages()

_WRONG = "Invalid or expired key"


@router.get("/signin")
async def show_form(request: Request, next: str = "/") -> Response:
    """The form that asks for a key."""
    return page(request, "signin.html", {"next": _inside(next), "problem": None})


@router.post("/signin")
async def sign_in(
    request: Request,
    gateway: CurrentGateway,
    key: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "/",
) -> Response:
    """Begin a session, and go on to where the visitor wanted to."""
    then = _inside(next)
    try:
        cookie = await gateway.sessions.begin(key.strip(), address_of(request))
    except Unauthorized:
        return page(request, "signin.html", {"next": then, "problem": _WRONG}, 401)
    except (RateLimited, *AWAY) as problem:
        told = tellable(request, problem)
        shown = {"next": then, "problem": told.message}
        return page(request, "signin.html", shown, told.status, error_headers(request, told))
    if (before := session_cookie(request.headers)) is not None:
        gateway.sessions.leave(before)
    response = RedirectResponse(then, 303)
    response.set_cookie(
        SESSION_COOKIE, cookie, max_age=LASTS_S, httponly=True, samesite="lax", secure=_is_encrypted(request)
    )
    return response


@_signed_in.post("/signout")
async def sign_out(request: Request, gateway: CurrentGateway) -> Response:
    """End the session, in this browser and wherever else its cookie is."""
    await gateway.sessions.end(request.state.session)
    response = RedirectResponse("/signin", 303)
    response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="lax", secure=_is_encrypted(request))
    return response


def _inside(path: str) -> str:
    """The path, if it is one of this server's; else the first page."""
    is_ours = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_ours else "/"


def _is_encrypted(request: Request) -> bool:
    """Whether the browser speaks TLS, with us or with a proxy before us."""
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto", ""))


router.include_router(_signed_in)
