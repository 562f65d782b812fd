"""What is going to happen in a round, drawn from its seed: faults, engines that fail, and what clients want."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from random import Random

from msgspec import Struct

from tests.support.faults import CALL_FAULTS, DATABASE_FAULTS, STREAM_FAULTS, Fault
from tests.torture.not_yet import NOT_YET

FAULTS_WITHIN_S = 20.0
ARRIVALS_WITHIN_S = 15.0

CALLS = (
    "gateway>ledger.principals",
    "gateway>ledger.job",
    "gateway>ledger.repeated",
    "gateway>rate_limiter.take",
    "gateway>scheduler.submit",
    "gateway>scheduler.cancel",
    "gateway>journal.watch",
    "gateway>journal.unwatch",
    "gateway>journal.acknowledge",
    "scheduler>ledger.create",
    "scheduler>ledger.placed",
    "scheduler>ledger.open_jobs",
    "scheduler>ledger.mark_shares",
    "scheduler>journal.attach",
    "scheduler>journal.fence",
    "scheduler>journal.fail",
    "scheduler>engine.generate",
    "scheduler>engine.confirm",
    "scheduler>engine.abort",
    "journal>ledger.finish",
    "journal>scheduler.released",
    "journal>scheduler.engine_lost",
    "journal>engine.describe",
    "journal>engine.acknowledge",
    "journal>engine.settled",
    "journal>engine.abort",
    "node>scheduler.report",
    "node>engine.describe",
    "node>engine.load",
    "rate_limiter>ledger.mark_windows",
    "rate_limiter>ledger.window_marks",
    "courier>ledger.due_deliveries",
    "courier>ledger.record_attempts",
)
"""The ways that calls go. `test_torture.py` fails when one of them is travelled no more."""

STREAMS = ("gateway>journal.frames", "journal>engine.frames")

LINKS = (
    "scheduler>engine",
    "journal>engine",
    "node>engine",
    "node>scheduler",
    "gateway>journal",
    "gateway>scheduler",
    "scheduler>journal",
    "scheduler>ledger",
    "journal>ledger",
    "journal>scheduler",
    "courier>ledger",
)

SWITCHES = ("fail_at_token", "freeze_at_token", "die_at_token")
"""How the simulated backend of an engine fails, where its process does not."""

SYSTEM = "system"
CORE = ("ledger", "rate_limiter", "journal", "scheduler", "courier")
PROCESSES = (*CORE, "node", "gateway", "engine")
MOST_ENGINE_LOSSES = 3
"""Fewer than the attempts that a job has, so that no job may fail because of them."""


class Story(Struct, frozen=True):
    """What one client wants: a job of so many tokens, and what it does besides reading it to its end."""

    arrives_s: float
    max_tokens: int
    seed: int
    has_key: bool
    has_budget: bool
    cancels_after_s: float | None = None
    time_limit_s: float | None = None
    readers: int = 1
    leaves_after: int = 0
    """A reader leaves after so many pieces, and comes back at another replica; 0 for never."""


class Plan(Struct, frozen=True):
    """A round. The same plan takes the same course."""

    seed: int
    nodes: int
    replicas: int
    slots: int
    elastic: bool
    """Whether engines come with the jobs and go without them, or are all there from the beginning."""
    failing: Mapping[int, Mapping[str, int]]
    """Switches of the simulated backend, by the number of the engine that has them."""
    stories: tuple[Story, ...]
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        head = f"seed {self.seed}: {self.nodes} nodes, {self.replicas} engines of {self.slots} slots"
        head += ", as many as the jobs need" if self.elastic else ""
        failing = "".join(f"\n  engine {number}: {switches}" for number, switches in self.failing.items())
        return f"{head}, {len(self.stories)} jobs{failing}" + "".join(f"\n  {fault}" for fault in self.faults)


def draw(seed: int, with_faults: bool = True) -> Plan:
    """The plan of this seed, without what is switched off."""
    chance = Random(seed)
    nodes = chance.randint(2, 3)
    switch = chance.choice(SWITCHES)
    failing = {chance.randint(0, 4): {switch: chance.choice((3, 9, 30))}} if chance.random() < 0.25 else {}
    faults = sorted((*_faults(chance), *_drains(Random(f"drains of {seed}"))), key=lambda fault: fault.at_s)
    return Plan(
        seed=seed,
        nodes=nodes,
        replicas=chance.randint(2, nodes),
        slots=chance.choice((2, 4, 8)),
        elastic=seed % 2 == 1,
        failing={} if is_off(f"{switch} engine") or not with_faults else failing,
        stories=tuple(_story(chance) for _ in range(chance.randint(8, 16))),
        faults=tuple(fault for fault in faults if not is_off(fault.name)) if with_faults else (),
    )


def _faults(chance: Random) -> Iterator[Fault]:
    for _ in range(chance.randint(60, 160)):
        kind, target = chance.choice(CALL_FAULTS), chance.choice(CALLS)
        if chance.random() < 0.2:
            target = target.partition(".")[0] + ".*"
        yield Fault(_moment(chance), kind, target, 0.0 if kind.startswith(("fail", "reorder")) else _while(chance))
    for _ in range(chance.randint(0, 12)):
        kind = chance.choice(STREAM_FAULTS)
        yield Fault(_moment(chance), kind, chance.choice(STREAMS), 0.0 if kind == "break" else _while(chance))
    for _ in range(chance.choice((0, 0, 1, 2))):
        yield Fault(_moment(chance), "cut", chance.choice(LINKS), _while(chance))
    yield from _process_faults(chance)
    for _ in range(chance.choice((0, 0, 1, 2, 4))):
        kind = chance.choice(DATABASE_FAULTS)
        yield Fault(_moment(chance), kind, "database", 0.0 if kind.startswith("commit") else _while(chance))


def _process_faults(chance: Random) -> Iterator[Fault]:
    engine_losses = 0
    for _ in range(chance.choice((0, 1, 2, 3, 5, 8))):
        kind = chance.choice(("kill", "kill", "hang", "hang_and_kill", "replace", "skew"))
        target = chance.choice((*PROCESSES, SYSTEM))
        if target in ("engine", SYSTEM):
            engine_losses += 1
            if engine_losses > MOST_ENGINE_LOSSES:
                continue
            kind = "kill" if kind == "replace" or target == SYSTEM else kind
        if target == "ledger" and kind == "replace":
            kind = "hang_and_kill"  # a second one does not start while the first has the database's lock
        if target in ("node", "gateway", "engine"):
            target = f"{target}/{chance.randint(0, 2)}"
        for_s = round(chance.uniform(-2.0, 2.0), 3) if kind == "skew" else _while(chance)
        yield Fault(_moment(chance), kind, target, for_s)


def _drains(chance: Random) -> Iterator[Fault]:
    for _ in range(chance.choice((0, 0, 1, 2, 4))):
        yield Fault(_moment(chance), "drain", f"node/{chance.randint(0, 2)}", _while(chance))


def _moment(chance: Random) -> float:
    return round(chance.uniform(0.5, FAULTS_WITHIN_S), 3)


def _while(chance: Random) -> float:
    """Mostly short, sometimes longer than others wait."""
    return round(chance.choice((0.05, 0.3, 1.0, 3.0, 12.0)) * chance.uniform(0.5, 1.5), 3)


def _story(chance: Random) -> Story:
    fate = chance.random()
    return Story(
        arrives_s=round(chance.uniform(0.0, ARRIVALS_WITHIN_S), 3),
        max_tokens=chance.choice((1, 2, 8, 25, 60, 120)),
        seed=chance.randint(0, 9),
        has_key=chance.random() < 0.5,
        has_budget=chance.random() < 0.4,
        cancels_after_s=round(chance.uniform(0.0, 4.0), 3) if fate < 0.15 else None,
        time_limit_s=round(chance.uniform(0.5, 6.0), 3) if 0.15 <= fate < 0.3 else None,
        readers=chance.choice((0, 1, 1, 1, 2, 3)),
        leaves_after=chance.choice((0, 0, 1, 3)),
    )


def is_off(name: str) -> bool:
    """Whether this is known to break, by `Fault.name`."""
    return any(fnmatchcase(name, pattern) for pattern in NOT_YET)
