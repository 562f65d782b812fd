"""What is done to a running system, as values: one deed, or several at once."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from random import Random
from typing import Literal, NamedTuple

import psutil

from api.cli.run import runs
from tests.support.database_outages import away, locked_sqlite
from tests.support.serving import Serving

CORE = ("Journal", "Scheduler", "Ledger", "RateLimiter", "Courier")
HAPROXY = "HAProxy"
REPLICA = "ServeReplica:infernet"
PROCESSES = ("Engine", *CORE, "NodeAgent", "Supervisor", REPLICA, HAPROXY)
"""What a system consists of, by the titles of its processes."""

DATABASE = "database"

Kind = Literal["kill", "stop", "lock", "take away"]


class Deed(NamedTuple):
    """A process is killed, or stopped for a while; another process locks the database, or it is gone, for a while."""

    kind: Kind
    target: str
    for_s: float = 0.0

    def __str__(self) -> str:
        return f"{self.kind} {self.target}" + (f" for {self.for_s:g} s" if self.for_s else "")

    def on(self, serving: Serving) -> Callable[[], None]:
        """What does it, and returns when it is over. Its process is looked for now: that takes a second."""
        match self.kind:
            case "kill":
                return _process(serving, self.target).kill
            case "stop":
                return partial(_stop, _process(serving, self.target), self.for_s)
            case "lock":
                return partial(_lock, serving, self.for_s)
            case "take away":
                return partial(_take_away, serving, self.for_s)


Disturbance = tuple[Deed, ...]
"""What is done at once."""


def name_of(disturbance: Disturbance) -> str:
    return ", ".join(map(str, disturbance))


def draw(seed: int) -> Iterator[Disturbance]:
    """Disturbances by chance, without end: half of them are two deeds at once."""
    chance = Random(seed)
    while True:
        deeds = [_draw_deed(chance)]
        if chance.random() < 0.5:
            deeds.append(_draw_deed(chance))
        targets = {deed.target for deed in deeds}
        if len(targets) == len(deeds):
            yield tuple(deeds)


def may_lose_texts(disturbance: Disturbance) -> bool:
    """Whether nobody may have a text any more after this: an engine and the Journal are ended at once."""
    ended = {deed.target for deed in disturbance if deed.kind in ("kill", "stop")}
    return {"Engine", "Journal"} <= ended


def _draw_deed(chance: Random) -> Deed:
    kind = chance.choice(("kill", "kill", "kill", "stop", "lock"))
    if kind == "lock":
        return Deed("lock", DATABASE, chance.choice((0.5, 2.0, 7.0)))
    process = chance.choice(PROCESSES)
    return Deed("kill", process) if kind == "kill" else Deed("stop", process, chance.choice((0.5, 2.0, 4.0)))


def _process(serving: Serving, target: str) -> psutil.Process:
    if target != HAPROXY:
        return serving.actors(target)[0]
    return next(process for process in runs.processes(serving.run) if process.name() == "haproxy")


def _stop(process: psutil.Process, for_s: float) -> None:
    process.send_signal(signal.SIGSTOP)
    time.sleep(for_s)
    with suppress(psutil.NoSuchProcess):  # somebody has noticed, and ended it
        process.send_signal(signal.SIGCONT)


def _lock(serving: Serving, for_s: float) -> None:
    with locked_sqlite(serving.state / "infernet.db"):
        time.sleep(for_s)


def _take_away(serving: Serving, for_s: float) -> None:
    with away(serving.state / "infernet.db"):
        time.sleep(for_s)
