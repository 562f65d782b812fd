"""Pictures and sounds that messages bring: kept by their hash, apart from the jobs that need them."""

import hashlib
from typing import Literal, NewType

from msgspec import Struct

MediumHash = NewType("MediumHash", str)
"""The SHA-256 of a medium's bytes, in hexadecimal."""

MediumKind = Literal["image", "audio"]

_SCHEME = "media:"


class Given(Struct, frozen=True):
    """What a part of a message brings, or the `url` that it is to be fetched from. `place` names the part."""

    place: str
    kind: MediumKind
    content: bytes = b""
    url: str = ""


class Medium(Struct, frozen=True):
    """The bytes of a picture or a sound, and their hash."""

    hash: MediumHash
    content: bytes


def medium(content: bytes) -> Medium:
    return Medium(MediumHash(hashlib.sha256(content).hexdigest()), content)


def reference(number: int) -> str:
    """How the body of a form names the medium of this number, in the place of a URL."""
    return f"{_SCHEME}{number}"


def number_of(url: str) -> int | None:
    """The number of the medium that a form's body names so; None for any other URL."""
    scheme, number = url[: len(_SCHEME)], url[len(_SCHEME) :]
    return int(number) if scheme == _SCHEME and number.isascii() and number.isdigit() else None
