"""One round: a system, its clients, the faults of a plan, rest, and what does not hold then."""

import asyncio
import gc
import logging
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from random import Random
from unittest import mock

from msgspec import Struct

from tests.support.plain_system import prepare_database
from tests.support.virtual_time import run_virtually
from tests.torture.clients import Client
from tests.torture.invariants import (
    RULES,
    Evidence,
    Violation,
    late_readers,
    readers_that_are_gone,
    still_held,
    untold_ends,
)
from tests.torture.not_yet import NOT_YET
from tests.torture.plan import Plan
from tests.torture.world import JOB_TIMEOUT_S, World

REST_WITHIN_S = 1.3 * JOB_TIMEOUT_S
"""So long after the last fault, in virtual time, all has come to its end: longer than a job may take."""
LOOK_S = 2.0
LATE_WITHIN_S = 60.0

HELD = {
    rule: looks
    for rule, looks in {
        "nothing is held by nobody": still_held,
        "readers that are gone are forgotten": readers_that_are_gone,
        "endpoints are told of every end": untold_ends,
    }.items()
    if f"rule: {rule}" not in NOT_YET
}


class Outcome(Struct, frozen=True):
    """What came of a round: what went wrong by the plan, how calls travelled, and the rules that do not hold."""

    injected: dict[str, int]
    travelled: dict[str, int]
    violations: tuple[Violation, ...]
    lasted_s: float
    """In virtual time."""


def play(plan: Plan) -> Outcome:
    """Play a round. The same plan takes the same course."""
    with tempfile.TemporaryDirectory(dir=_memory()) as folder, _same_names(plan.seed), _silence(), _no_collection():
        path = Path(folder) / "infernet.db"
        path.write_bytes(_prepared())
        return run_virtually(_play(path, plan))


async def _play(path: Path, plan: Plan) -> Outcome:
    async with World(path, plan) as world:
        clients = [Client(world, number, story) for number, story in enumerate(plan.stories)]
        stories = [asyncio.create_task(client.tell()) for client in clients]
        await world.suffer()
        violations = [violation async for violation in _come_to_rest(world, clients, stories)]
        for story in stories:
            story.cancel()
        return Outcome(
            dict(world.injected),
            dict(world.links.travelled),
            tuple(v for v in violations if f"rule: {v.rule}" not in NOT_YET),
            world.now_s(),
        )


async def _come_to_rest(
    world: World, clients: list[Client], stories: list["asyncio.Task[None]"]
) -> AsyncIterator[Violation]:
    """Wait for everything to end; then tell what does not hold."""
    _, waiting = await asyncio.wait(stories, timeout=REST_WITHIN_S)
    for number, story in enumerate(stories):
        if story in waiting:
            yield Violation("clients get what they want", f"client {number} ({clients[number].job_id}) still waits")
        elif (error := story.exception()) is not None:
            raise error
    for rule, looks in HELD.items():
        until_s = world.now_s() + REST_WITHIN_S
        while (held := [what async for what in looks(world)]) and world.now_s() < until_s:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)
        for what in held:
            yield Violation(rule, what)
    evidence = Evidence(world, clients)
    for rule in RULES:
        for detail in rule(evidence):
            yield Violation(rule.__name__.replace("_", " "), detail)
    if not waiting:
        try:
            async with asyncio.timeout(LATE_WITHIN_S):
                async for detail in late_readers(evidence, Random(world.plan.seed)):
                    yield Violation("late readers have the result", detail)
        except TimeoutError:
            yield Violation("late readers have the result", f"not within {LATE_WITHIN_S:.0f} s")


@cache
def _prepared() -> bytes:
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        path = Path(folder) / "prepared.db"
        asyncio.run(prepare_database(path))
        return path.read_bytes()


def _memory() -> str | None:
    """A folder in memory, where there is one: a commit is not to wait for a disk."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


@contextmanager
def _same_names(seed: int) -> Iterator[None]:
    """Ids are drawn by chance; here the same ones each time."""
    chance = Random(seed)
    with mock.patch.object(secrets, "token_hex", lambda count: chance.randbytes(count).hex()):
        yield


@contextmanager
def _no_collection() -> Iterator[None]:
    """Collect garbage between rounds: when a coroutine that was left is closed must not depend on memory."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def _silence() -> Iterator[None]:
    """What goes wrong is meant to: nobody wants to read of it."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
