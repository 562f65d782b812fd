"""The hash of a body, by which a client's second use of an idempotency key is known to mean the same."""

import hashlib
from functools import cache
from typing import Any, Final, NamedTuple

import msgspec

from api.http.bodies import Request

LATER: Final = "later"
"""Marks a field that came after bodies were first hashed: at its default it is left out of the hash.

Every new field needs it: `tests/unit/test_body_hash.py` fails without.
"""


class Formerly(NamedTuple):
    """Marks a field whose default was another one when bodies were first hashed: that is hashed in its place."""

    default: Any


_canonical = msgspec.json.Encoder(order="deterministic")


def body_hash(request: Request) -> str:
    """The same for bodies that mean the same: defaults, nulls, unknown fields and the order of keys do not matter.

    Nor does the version that takes them: a key that was used before an upgrade stands for the same body after it.
    """
    body = request.model_dump()
    for name, default, formerly in _changed_fields(type(request)):
        if body[name] == default:
            if formerly is None:
                del body[name]
            else:
                body[name] = formerly.default
    return hashlib.sha256(_canonical.encode(body)).hexdigest()


@cache
def _changed_fields(kind: type[Request]) -> list[tuple[str, Any, Formerly | None]]:
    """The fields of such a body that are `LATER` or were `Formerly` otherwise, and their defaults today."""
    return [
        (name, field.get_default(call_default_factory=True), mark if isinstance(mark, Formerly) else None)
        for name, field in kind.model_fields.items()
        for mark in field.metadata
        if mark == LATER or isinstance(mark, Formerly)
    ]
