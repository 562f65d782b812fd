"""Accounts share a model's engines, however many jobs each of them has waiting."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec.structs import replace

from cluster.ids import AccountId
from cluster.messages.people import Account
from tests.support.plain_system import SIM, PlainSystem, run, until
from tests.support.shared_system import SLOTS, TOKEN_S, Loss, Traffic, play
from tests.support.sharing import jain
from tests.support.watch import Watch

NARROW = replace(SIM, engine={**SIM.engine, "batch_slots": 2})
OTHER = AccountId("acct_other")


@asynccontextmanager
async def narrow(database: Path, weight: int = 1) -> AsyncIterator[PlainSystem]:
    """A system with two slots in all, and another account of this weight."""
    async with PlainSystem(database, [NARROW]) as system:
        await system.ready()
        await system.gateway.accounts.create(Account(OTHER, "other", 0, weight=weight))
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
            await until(lambda: heavy.delivered > 200, "both wait")  # those that came first began alone
            plain_had, heavy_had = plain.delivered, heavy.delivered
            await until(lambda: heavy.delivered > heavy_had + 2_500, "a good deal of text")
            assert 2.0 < (heavy.delivered - heavy_had) / (plain.delivered - plain_had) < 4.5
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


# In virtual time, the seconds being those of the engine: 8 slots, 20 tokens a second in each ------------------------

FLOOD = Traffic("many", 300, spread=50)
TRICKLE = Traffic("few", 6, every_s=7.5, begin_s=2.0)


def test_who_trickles_beside_a_flood_takes_less_than_twice_what_it_takes_alone(database: Path) -> None:
    alone = play([TRICKLE], 55, prepared=database).took("few")
    beside = play([FLOOD, TRICKLE], 55, prepared=database).took("few")
    assert len(alone) == len(beside) == 6
    assert max(beside) < 2 * max(alone)
    assert play([FLOOD, TRICKLE], 55, in_order=True, prepared=database).took("few") == []  # what it is without turns


def test_with_weights_of_1_2_and_4_each_gets_so_much(database: Path) -> None:
    weights = {"one": 1, "two": 2, "four": 4}
    floods = [Traffic(name, 200, spread=50) for name in weights]
    served = play(floods, 90, weights, prepared=database).tokens(20, 90)
    assert jain(served[name] / weight for name, weight in weights.items()) > 0.98


def test_who_comes_late_gets_half_and_what_it_does_not_ask_for_is_lent(database: Path) -> None:
    late = Traffic("late", 300, spread=50, begin_s=20.0)
    played = play([FLOOD, late], 60, prepared=database)
    lent, shared = played.tokens(5, 20), played.tokens(30, 60)
    assert sum(lent.values()) > 0.98 * 15 / TOKEN_S * SLOTS and not lent["late"]
    assert 0.4 < shared["late"] / shared.total() < 0.6


LONG_AND_SHORT = (Traffic("long", 60, tokens=400), Traffic("short", 900, tokens=25))


def test_who_has_had_more_still_has_after_the_loss_of_a_scheduler(database: Path) -> None:
    """A Scheduler that began at zero would give most to whose jobs are longest: it holds its slots at each loss."""
    losses = [Loss(5.3 + 7 * number, 1.0) for number in range(10)]
    served = play(LONG_AND_SHORT, 75, losses=losses, prepared=database).tokens(20, 75)
    assert 0.6 < served["long"] / served["short"] < 1.6


def test_a_flood_is_in_its_turn_again_after_the_loss_of_a_scheduler(database: Path) -> None:
    """Its jobs were in the queue, and are again: who comes after that does not wait for all of them."""
    single = Traffic("few", 1, begin_s=12.0)
    (took,) = play([FLOOD, single], 30, losses=[Loss(10.0, 1.0)], prepared=database).took("few")
    assert took < 10.0
