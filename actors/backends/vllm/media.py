"""Where vLLM gets pictures and sounds from: what it is given with a form or in it, never a network or a disk.

vLLM's renderer asks a connector for what the parts of messages point to. This one takes the place of vLLM's own in
every request that this process renders, whatever front end renders it.
"""

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from cluster.messages.media import number_of

_NAME = "infernet"

_GIVEN: ContextVar[Sequence[bytes]] = ContextVar("given media", default=())


@contextmanager
def given(media: Sequence[bytes]) -> Iterator[None]:
    """What is rendered here may name these, by number."""
    token = _GIVEN.set(media)
    try:
        yield
    finally:
        _GIVEN.reset(token)


def install() -> None:
    """Have vLLM ask this connector, and no other. Its own can be chosen by the environment, which does not count."""
    from vllm.multimodal.media.connector import MEDIA_CONNECTOR_REGISTRY, MediaConnector

    class GivenMedia(MediaConnector):  # type: ignore[misc]  # vLLM's classes are of no type here
        def load_from_url(self, url: str, media_io: Any, **_: Any) -> Any:
            if _is_whole(url):
                return super().load_from_url(url, media_io)
            return media_io.load_bytes(_content(url))

        async def load_from_url_async(self, url: str, media_io: Any, **_: Any) -> Any:
            return await asyncio.to_thread(self.load_from_url, url, media_io)

    MEDIA_CONNECTOR_REGISTRY.register(_NAME)(GivenMedia)
    os.environ["VLLM_MEDIA_CONNECTOR"] = _NAME


def _is_whole(url: str) -> bool:
    return url[:5].lower() == "data:"


def _content(url: str) -> bytes:
    number, media = number_of(url), _GIVEN.get()
    if number is None or number >= len(media):
        raise ValueError("A picture or a sound cannot be had from where this points to")
    return media[number]
