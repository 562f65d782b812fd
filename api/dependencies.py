"""What routes are given."""

from typing import Annotated

from fastapi import Depends, Request

from api.gateway import Gateway
from cluster.errors import PayloadTooLarge
from cluster.messages import Principal

MAX_BODY_BYTES = 1 << 20


def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


def _principal(request: Request) -> Principal:
    principal: Principal = request.state.principal
    return principal


async def _body(request: Request) -> bytes:
    """The request's body. Raises PayloadTooLarge as soon as it is known to be."""
    if int(request.headers.get("content-length", "0")) > MAX_BODY_BYTES:
        raise _too_large()
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise _too_large()
    return bytes(body)


def _too_large() -> PayloadTooLarge:
    return PayloadTooLarge(f"Request body is larger than {MAX_BODY_BYTES} bytes")


CurrentGateway = Annotated[Gateway, Depends(_gateway)]
Caller = Annotated[Principal, Depends(_principal)]
Body = Annotated[bytes, Depends(_body)]
