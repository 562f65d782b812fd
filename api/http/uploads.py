"""Bodies that may hold pictures and sounds, and be large: what is read of them has room, as long as it is there.

Without these they may be no larger than any other body. That is looked at twice: before a body is understood, by what
may be a picture, and then by what is one.
"""

import re
from collections.abc import AsyncIterator, Iterable
from typing import Annotated

from fastapi import Depends, Request

from api.http.dependencies import MAX_BODY_BYTES, announced_bytes, body_is_larger_than
from api.replica.gateway import Gateway
from api.replica.room import Held
from cluster.errors import PayloadTooLarge
from cluster.messages.media import Given

_LIKE_MEDIA = re.compile(rb"[A-Za-z0-9+/=\\\\]{1024,}")
"""Base64, of which JSON may escape the slashes."""


class Upload:
    """A request's body, once: whoever has understood it lets go of it, and gives its room back."""

    def __init__(self) -> None:
        self.body = b""
        self.held: Held | None = None

    def take(self) -> bytes:
        """The body. It is not here any more."""
        body, self.body = self.body, b""
        return body

    def done(self) -> None:
        """Nothing large is left of it. May be repeated."""
        if self.held is not None:
            self.held.give_back()


async def _upload(request: Request) -> AsyncIterator[Upload]:
    """Raises PayloadTooLarge as soon as it is known to be, and NoCapacity when others fill the room."""
    gateway: Gateway = request.app.state.gateway
    upload = Upload()
    try:
        await _read(request, gateway, upload)
        yield upload
    finally:
        upload.done()


async def _read(request: Request, gateway: Gateway, upload: Upload) -> None:
    largest = gateway.max_body_bytes
    announced = announced_bytes(request)
    if announced > largest:
        raise body_is_larger_than(largest)
    account = request.state.principal.account_id
    if announced > MAX_BODY_BYTES:
        upload.held = await gateway.room.take(account, announced)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > largest:
            raise body_is_larger_than(largest)
        if len(body) > MAX_BODY_BYTES and upload.held is None:
            upload.held = await gateway.room.take(account, largest)
    if len(body) > MAX_BODY_BYTES:
        _check_rest(len(body) - sum(len(run[0]) for run in _LIKE_MEDIA.finditer(body)))
    upload.body = bytes(body)


def check_size(body: bytes, media: Iterable[Given]) -> None:
    """Raises PayloadTooLarge for a body that is too large without these, which it brought."""
    if len(body) > MAX_BODY_BYTES:
        _check_rest(len(body) - sum((len(each.content) + 2) // 3 * 4 for each in media))


def _check_rest(size: int) -> None:
    if size > MAX_BODY_BYTES:
        raise PayloadTooLarge(f"Request body is larger than {MAX_BODY_BYTES} bytes without its pictures and sounds")


LargeBody = Annotated[Upload, Depends(_upload)]
