"""Pictures and sounds in submissions."""

from msgspec import Struct

from cluster.settings.checks import Check, Value, integer, list_of, section
from cluster.settings.sections.hosts import host

_LEAST_BODY_BYTES = 1 << 20
"""As much as any other body may have."""

_MOST_PIXELS = 80 << 20
"""vLLM refuses pictures of more than 89 million pixels by itself."""


class Media(Struct, frozen=True):
    """What pictures and sounds may be in submissions.

    They are fetched from these `hosts` alone, each a name or `name:port`. A body may have `max_body_bytes`, where it
    may hold any; a single one `max_bytes`, and a picture `max_pixels`. A submission has `max_parts` of them at most.
    """

    hosts: tuple[str, ...] = ()
    max_body_bytes: int = 20 << 20
    max_bytes: int = 10 << 20
    max_pixels: int = 32 << 20
    max_parts: int = 32
    fetch_timeout_s: int = 10


def media(value: Value) -> Media:
    checks: dict[str, Check] = {
        "hosts": list_of(host),
        "max_body_bytes": integer(_LEAST_BODY_BYTES, unit="bytes"),
        "max_bytes": integer(1, unit="bytes"),
        "max_pixels": integer(1, _MOST_PIXELS),
        "max_parts": integer(1),
        "fetch_timeout_s": integer(1, unit="s"),
    }
    return Media(**section(value, checks))
