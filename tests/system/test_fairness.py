"""Accounts share a model's engines, however many jobs each of them has waiting."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec.structs import replace

from cluster.ids import AccountId
from cluster.messages.people import Account
from tests.support.plain_system import SIM, PlainSystem, run, until
from tests.support.watch import Watch

NARROW = replace(SIM, engine={**SIM.engine, "batch_slots": 2})
OTHER = AccountId("acct_other")


@asynccontextmanager
async def narrow(database: Path, weight: int = 1) -> AsyncIterator[PlainSystem]:
    """A system with two slots in all, and another account of this weight."""
    async with PlainSystem(database, [NARROW]) as system:
        await system.ready()
        await system.gateway.create_account(Account(OTHER, "other", 0, weight=weight))
        yield system


def test_a_single_job_does_not_wait_for_the_flood_of_another_account(database: Path) -> None:
    async def scenario() -> None:
        async with narrow(database) as system:
            flood = Watch(system, [system.job(f"Job {n}", max_tokens=60) for n in range(30)])
            queue = system.scheduler.leases.places.queue
            await until(lambda: queue.waiting_for("sim") >= 20, "a flood that waits")
            single = Watch(system, [system.job("Mine", max_tokens=60, account_id=OTHER)])
            await single.exact()
            assert queue.waiting_for("sim") >= 15  # it was first come first served, and the single job came last
            await flood.exact()

    run(scenario())


def test_an_account_of_weight_three_gets_three_times_as_much(database: Path) -> None:
    async def scenario() -> None:
        async with narrow(database, weight=3) as system:
            plain = Watch(system, [system.job(f"Plain {n}", max_tokens=20) for n in range(80)])
            heavy = Watch(system, [system.job(f"Heavy {n}", max_tokens=20, account_id=OTHER) for n in range(80)])
            await until(lambda: heavy.delivered > 2_500, "a good deal of text")
            assert 2.0 < heavy.delivered / plain.delivered < 4.5
            await heavy.exact()
            await plain.exact()

    run(scenario())


def test_what_accounts_have_had_is_counted_in_tokens_that_engines_told(database: Path) -> None:
    """Two floods, one of long jobs and one of short: each has about half of the tokens at any time."""

    async def scenario() -> None:
        async with narrow(database) as system:
            long = Watch(system, [system.job(f"Long {n}", max_tokens=200) for n in range(10)])
            short = Watch(system, [system.job(f"Short {n}", max_tokens=20, account_id=OTHER) for n in range(100)])
            await until(lambda: short.delivered > 1_500, "a good deal of text")
            assert 0.5 < long.delivered / short.delivered < 2.0
            await short.exact()
            await long.exact()

    run(scenario())
