"""Which thing is meant: by its id, its name, or the beginning of either, as long as only one begins so."""

from collections.abc import Iterable, Sequence
from typing import Any

import typer

from api.cli.responses import Json
from cluster.errors import NotFound

_MOST_NAMED = 5


def one_of(kind: str, given: str, things: Iterable[Json], prefixes: bool = True) -> Json:
    """The one of the things that is meant. `kind` is what they are, such as `node`.

    What is irrevocable is done to a whole id or name only: `prefixes` is false then. Raises NotFound, and BadParameter
    where several are meant.
    """
    known = list(things)
    matches = [thing for thing in known if thing.get("id") == given]
    matches = matches or [thing for thing in known if thing.get("name") == given]
    if prefixes and given:
        matches = matches or [thing for thing in known if any(name.startswith(given) for name in _names(thing))]
    match matches:
        case [one]:
            return one
        case []:
            raise NotFound(f"No {kind} {'begins with' if prefixes else 'is'} {given!r}")
        case _:
            raise typer.BadParameter(f"several {kind}s are meant by {given!r}: {_listed(matches)}")


def _names(thing: Json) -> Sequence[str]:
    return [str(thing[field]) for field in ("id", "name") if field in thing]


def _listed(things: Sequence[Json]) -> str:
    named = ", ".join(" ".join(_names(thing)) for thing in things[:_MOST_NAMED])
    more = len(things) - _MOST_NAMED
    return f"{named}{f' and {more} more' if more > 0 else ''}"


def listed(things: Iterable[Any]) -> str:
    """`a, b and c`."""
    *first, last = map(str, things)
    return f"{', '.join(first)} and {last}" if first else last
