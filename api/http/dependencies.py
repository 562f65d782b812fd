"""What routes are given."""

import re
from typing import Annotated

from fastapi import Depends, Request

from api.replica.gateway import Gateway
from cluster.errors import BadRequest, Forbidden, PayloadTooLarge
from cluster.messages.people import Principal

MAX_BODY_BYTES = 1 << 20
_DIGITS = re.compile(r"[0-9]{1,18}")


async def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


async def _principal(request: Request) -> Principal:
    principal: Principal = request.state.principal
    return principal


async def _admin(request: Request) -> Principal:
    """Raises Forbidden for every other role."""
    principal = await _principal(request)
    if principal.role != "admin":
        raise Forbidden("Only an admin may do this")
    return principal


async def _body(request: Request) -> bytes:
    """The request's body. Raises PayloadTooLarge as soon as it is known to be."""
    if announced_bytes(request) > MAX_BODY_BYTES:
        raise body_is_larger_than(MAX_BODY_BYTES)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise body_is_larger_than(MAX_BODY_BYTES)
    return bytes(body)


def announced_bytes(request: Request) -> int:
    """What the request says its body has, 0 if it does not. Raises BadRequest for what is no number."""
    announced = request.headers.get("content-length", "0")
    if not _DIGITS.fullmatch(announced):
        raise BadRequest("Content-Length: must be a whole number of bytes")
    return int(announced)


def body_is_larger_than(most: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"Request body is larger than {most} bytes")


CurrentGateway = Annotated[Gateway, Depends(_gateway)]
Caller = Annotated[Principal, Depends(_principal)]
Admin = Annotated[Principal, Depends(_admin)]
Body = Annotated[bytes, Depends(_body)]
