"""Who sends a request: the holder of its key, or who has signed in with one."""

import re

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Scope

from api.replica.gateway import Gateway
from cluster.errors import Forbidden, Unauthorized
from cluster.messages.people import Principal

SESSION_COOKIE = "infernet_session"
CSRF_HEADER = "X-CSRF-Token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# A scheme's name is matched in any case, and one or more spaces follow: RFC 9110, section 11.
_BEARER = re.compile(r"bearer +([!-~]+)", re.IGNORECASE)


async def caller(gateway: Gateway, scope: Scope) -> Principal:
    """The holder of the request's key, or else of its session. Raises Unauthorized.

    What a session asks to be changed must bring the session's token, which no page of others knows; Forbidden if not.
    """
    headers = Headers(scope=scope)
    cookie = session_cookie(headers)
    if cookie is None or "authorization" in headers:
        return await gateway.authenticate(bearer_token(headers))
    session = await gateway.sessions.read(cookie)
    principal = await gateway.sessions.holder(session)
    if scope["method"] not in SAFE_METHODS and headers.get(CSRF_HEADER) != session.csrf_token:
        raise Forbidden(f"{CSRF_HEADER}: not this session's")
    return principal


def session_cookie(headers: Headers) -> str | None:
    """The cookie of a session that the request brings, if it does."""
    return cookie_parser(headers.get("cookie", "")).get(SESSION_COOKIE)


def bearer_token(headers: Headers) -> str:
    """Raises Unauthorized for any other scheme, for what is malformed, and for more than one."""
    given = headers.getlist("authorization")
    match = _BEARER.fullmatch(given[0].strip(" \t")) if len(given) == 1 else None
    if match is None:
        raise Unauthorized()
    return match[1]
