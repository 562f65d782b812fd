"""What is wrong now, and what to do about it. Pure."""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from api.replica.health import State

_MOST = 8
_MOST_CHARACTERS = 240
_RESTARTED = "It is restarted by itself within seconds; if not, look at the logs."
_UNWRITABLE = (
    "No job is accepted until it can. Look whether its server runs, its disk is full or its file was moved; "
    "`infernet doctor` tells which."
)


class Problem(NamedTuple):
    """Something that is wrong: what, what to do, and the page that tells more, where there is one."""

    what: str
    cure: str
    address: str = ""


def problems(state: State) -> list[Problem]:
    """The worst first; no more than fit on a page."""
    found = [*_away(state), *_models(state), *_nodes(state)]
    if len(found) <= _MOST:
        return found
    rest = f"And {len(found) - _MOST + 1} more"
    return [*found[: _MOST - 1], Problem(rest, "The pages of models and nodes have all of them.", "/models")]


def of_away(parts: Collection[str]) -> Iterator[Problem]:
    """That these parts of the system do not answer."""
    for name in parts:
        if name != "database":
            yield Problem(f"The {name} does not answer", _RESTARTED)
        elif "ledger" not in parts:  # who alone knows how the database is
            yield Problem("The database cannot be written", _UNWRITABLE)


def _away(state: State) -> Iterator[Problem]:
    parts = {
        "ledger": state.gauges,
        "database": state.can_write,
        "scheduler": state.models,
        "rate limiter": state.counts,
        "journal": state.streams,
    }
    yield from of_away([name for name, told in parts.items() if told is None])


def _models(state: State) -> Iterator[Problem]:
    for view in state.models or ():
        if view.state == "failed":
            why = _last_line(view.message) or "Its engines do not start."
            yield Problem(f"Model {view.id} failed", why, f"/models/{view.id}")
        elif view.message and not view.replicas:
            yield Problem(
                f"Model {view.id} did not start, and is tried again", _last_line(view.message), f"/models/{view.id}"
            )
        elif not view.fits:
            why = _last_line(view.message) or "There is no room for all replicas that are wanted."
            yield Problem(f"Model {view.id} has fewer replicas than wanted", why, f"/models/{view.id}")


def _nodes(state: State) -> Iterator[Problem]:
    for view in state.nodes or ():
        if view.status == "offline":
            yield Problem(
                f"Node {view.hardware.hostname} is offline",
                "Its jobs go on elsewhere. Look whether the machine runs and reaches the head; then it joins again.",
                f"/nodes/{view.id}",
            )


def _last_line(message: str) -> str:
    line = message.strip().splitlines()[-1] if message.strip() else ""
    return line if len(line) <= _MOST_CHARACTERS else line[: _MOST_CHARACTERS - 1] + "…"
