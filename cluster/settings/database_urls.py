"""A database's URL, as it is written: what of it would be read as something else.

A password that is written with special characters ends where the first of them is, and the rest of it would be taken
for a host, a port or a name, and told in messages. So nothing of a URL is shown here.
"""

import re

ENCODED = "@ is written %40, : %3A, / %2F, # %23, ? %3F, % %25, [ %5B, ] %5D and a blank %20"

_USER = re.compile(r"(?P<user>[^:/?]*)(?::(?P<password>[^@]*))?@(?P<rest>.*)", re.DOTALL)
"""As SQLAlchemy reads it: a password goes up to the first `@`."""

_HOST = re.compile(
    r"(?:\[[^\]@]*\]|[^:/?@\[\]]*)(?::(?P<port>[^/?]*))?(?P<path>/[^?]*)?(?:\?(?P<query>.*))?", re.DOTALL
)
_SPECIAL = "in a user's name and a password, " + ENCODED


def fault(url: str) -> str | None:
    """Why this cannot be meant; None where nothing is wrong with it, or others will tell."""
    kind, separator, rest = url.partition("://")
    if not separator:
        return None
    if kind.startswith("sqlite"):
        if rest and not rest.startswith("/"):
            return "of a file begins with three slashes, sqlite:///infernet.db, or with four before a whole path"
        return None
    if any(character.isspace() for character in rest):
        return f"has a blank in it: {_SPECIAL}"
    if "@" not in rest:
        return None
    match = _USER.fullmatch(rest)
    if match is None:
        return f"does not say clearly where the password ends: {_SPECIAL}"
    return _host_fault(match["rest"])


def _host_fault(rest: str) -> str | None:
    match = _HOST.fullmatch(rest)
    if match is None or "@" in (match["path"] or "") or not _is_query(match["query"]):
        return f"does not say clearly where the password ends: {_SPECIAL}"
    port = match["port"]
    if port and not (port.isdecimal() and port.isascii() and int(port) <= 65_535):
        return f"has no number where the port is: {_SPECIAL}"
    return None


def _is_query(query: str | None) -> bool:
    return not query or all("=" in pair for pair in query.split("&") if pair)
