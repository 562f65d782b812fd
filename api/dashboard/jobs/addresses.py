"""Addresses of lists: what is looked for, and nothing else, so that they can be read and passed on."""

from collections.abc import Mapping
from urllib.parse import urlencode


def without_empty(given: Mapping[str, str]) -> str:
    """The query of an address, with its question mark; nothing where nothing is given."""
    said = {name: value.strip() for name, value in given.items() if value.strip()}
    if said.get("status") == "all":
        del said["status"]
    return f"?{urlencode(said)}" if said else ""
