"""What the command line's client reads of a job."""

from collections.abc import Iterable

from api.cli.responses import Said


def joined(said: Iterable[Said]) -> str:
    """All text of a job, of whatever kind."""
    return "".join(text for _, text in said)
