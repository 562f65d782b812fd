"""What runs: which version of this software, with which settings, and since when these are wanted. Pure."""

import hashlib
from importlib.metadata import version
from typing import TypedDict

import msgspec
from msgspec import Struct

from cluster.settings.schema import Settings

PROTOCOL_VERSION = 10
"""Raised whenever actors of before and after would misread each other: `tests/unit/test_protocol.py` says when."""

VERSION = f"{version('infernet-on-ray')}, protocol {PROTOCOL_VERSION}"


class Release(Struct, frozen=True):
    """What is to run, as somebody wanted it at `made_ms`. The later wish counts."""

    settings: Settings
    made_ms: int
    version: str = VERSION

    def described(self) -> "Described":
        """What another version can read, too: plain text and numbers."""
        return {"version": self.version, "made_ms": self.made_ms, "settings": fingerprint(self.settings)}

    def replaces(self, running: "Described") -> bool:
        """Whether something has to change for this to run in the place of what is running."""
        mine = self.described()
        same = mine["version"] == running["version"] and mine["settings"] == running["settings"]
        return not same and self.made_ms > running["made_ms"]


class Described(TypedDict):
    """A release, in words: `settings` is their fingerprint."""

    version: str
    made_ms: int
    settings: str


UNKNOWN: Described = {"version": "unknown", "made_ms": 0, "settings": ""}
"""A release of a version that does not say what it is."""


def fingerprint(*parts: object) -> str:
    """The same for equal parts, in every process. They are made of what JSON knows."""
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()[:16]
