"""Jobs go where the beginning of their prompt has been read before, unless others have much less to do."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from actors.backends.prompts.by_length import prompt_tokens
from actors.backends.simulated import simulated_text
from cluster.ids import EngineId, JobId, NodeId
from cluster.messages.machines import CacheTotals
from cluster.messages.placements import Placed
from cluster.messages.work import ChatMessage, Order, Sampling
from tests.support.plain_system import QUICK, SIM, PlainSystem, replicated, run, until

BLOCK = 64
CACHING = replace(SIM, engine={**SIM.engine, "prefix_blocks": 1000, "block_size": BLOCK})
TOKENS = 80
"""Of every answer."""


def with_cache(engines: int, **options: object) -> Any:
    return replicated(replace(CACHING, engine={**CACHING.engine, **options}), engines)


# A job of which the Ledger says first that it has ended tells nothing of what was found: comparing waits here.
@asynccontextmanager
async def caching(database: Path, engines: int = 3, **options: object) -> AsyncIterator[PlainSystem]:
    model, timing = with_cache(engines, **options), replace(QUICK, compare_s=60.0)
    async with PlainSystem(database, [model], nodes=engines, timing=timing) as system:
        await system.ready()
        yield system


def dialogue(number: int, turns: int = 1) -> tuple[ChatMessage, ...]:
    """A conversation of so many turns, to be answered next. Each question is a block or two."""
    messages: tuple[ChatMessage, ...] = ()
    for turn in range(turns):
        messages += (ChatMessage("user", f"Conversation {number}, turn {turn}: {'tell me more. ' * 36}"),)
        if turn + 1 < turns:
            messages += (ChatMessage("assistant", simulated_text(messages, None, TOKENS)),)
    return messages


async def submitted(
    system: PlainSystem, messages: Sequence[ChatMessage], max_tokens: int = TOKENS, node_id: NodeId | None = None
) -> JobId:
    order = Order(SIM.id, tuple(messages), Sampling(max_tokens=max_tokens), "hash", node_id)
    return (await system.gateway.intake.accept(system.principal, order, None)).id


async def placed(system: PlainSystem, job_id: JobId) -> Placed:
    """Where an ended job ran, with what was considered."""
    await system.ended(job_id)
    (attempt,) = await system.ledger.placements(job_id)
    return attempt


async def asked(system: PlainSystem, messages: Sequence[ChatMessage]) -> Placed:
    """Ask, and wait until the Scheduler has heard that it has been answered."""
    attempt = await placed(system, await submitted(system, messages))
    await until(lambda: len(system.scheduler.leases.places) == 0, "a released job")
    return attempt


def expected(attempt: Placed) -> int:
    """How many tokens were expected in the cache of the engine that was chosen."""
    return next(verdict.cached_tokens for verdict in attempt.considered if verdict.engine_id == attempt.engine_id)


def totals(system: PlainSystem) -> CacheTotals:
    (view,) = system.scheduler.fleet.models.views({}, 0.0)
    return view.cache


def test_a_conversation_stays_on_its_engine(database: Path) -> None:
    async def scenario() -> None:
        async with caching(database) as system:
            first = await asked(system, dialogue(1))
            assert (expected(first), first.cached_tokens) == (0, 0)
            for turns in range(2, 6):
                attempt = await asked(system, dialogue(1, turns))
                assert attempt.engine_id == first.engine_id
                assert attempt.cached_tokens is not None
                assert 0 < expected(attempt) <= attempt.cached_tokens
            told = totals(system)
            assert 0 < told.predicted <= told.actual < told.prompt

    run(scenario())


def test_a_conversation_leaves_an_engine_that_has_too_much_to_do(database: Path) -> None:
    async def scenario() -> None:
        async with caching(database, engines=2, hang_at_token=100) as system:
            first = await asked(system, dialogue(1))
            # They hang: their engine has work from now on.
            pinned = [await submitted(system, dialogue(7), 1000, first.node_id) for _ in range(4)]
            await until(lambda: running_on(system) == {first.engine_id: 4}, "running jobs")
            moved = await placed(system, await submitted(system, dialogue(1, 2)))
            assert moved.engine_id != first.engine_id
            costs = {verdict.engine_id: verdict.score for verdict in moved.considered}
            assert costs[moved.engine_id] < costs[first.engine_id]
            for job_id in pinned:
                await system.scheduler.cancel(job_id)

    run(scenario())


def running_on(system: PlainSystem) -> dict[EngineId, int]:
    return {replica.id: len(replica.tokens_of) for replica in system.scheduler.fleet.replicas if replica.tokens_of}


def test_what_an_engine_has_lost_is_not_expected_there_again(database: Path) -> None:
    """Answers take room in its cache, too: it has lost what was read first sooner than prompts alone would tell."""

    async def scenario() -> None:
        async with caching(database, engines=1, prefix_blocks=20) as system:
            for number in range(8):
                await asked(system, dialogue(number))
            lost = await asked(system, dialogue(2, 2))
            assert (expected(lost), lost.cached_tokens) == (2 * BLOCK, 0)
            older, newer = await asked(system, dialogue(1, 2)), await asked(system, dialogue(7, 2))
            assert (expected(older), older.cached_tokens) == (0, 0)
            assert expected(newer) == 2 * BLOCK
            assert (newer.cached_tokens or 0) >= 2 * BLOCK

    run(scenario())


def test_an_engine_that_is_lost_takes_its_cache_with_it(database: Path) -> None:
    async def scenario() -> None:
        async with caching(database, engines=2) as system:
            first = await asked(system, dialogue(1))
            system.kill_engine(first.engine_id)
            await until(lambda: system.scheduler.fleet.replica(first.engine_id) is None, "a lost engine")
            await system.ready()
            after = await asked(system, dialogue(1, 2))
            assert (expected(after), after.cached_tokens) == (0, 0)

    run(scenario())


def test_a_job_with_more_in_the_cache_goes_before_others_of_its_account(database: Path) -> None:
    async def scenario() -> None:
        async with caching(database, engines=1, batch_slots=1) as system:
            await asked(system, dialogue(1))
            running = await submitted(system, dialogue(2), max_tokens=500)
            others = [await submitted(system, dialogue(number)) for number in (3, 4)]
            preferred = await submitted(system, dialogue(1, 2))
            passed = [(await placed(system, job_id)).passed for job_id in (running, *others, preferred)]
            assert passed == [0, 0, 0, 2]

    run(scenario())


def test_metrics_tell_what_was_expected_and_what_was_found(database: Path) -> None:
    async def scenario() -> None:
        async with caching(database, engines=1) as system:
            first, second = await asked(system, dialogue(1)), await asked(system, dialogue(1))
            assert (first.cached_tokens, second.cached_tokens) == (0, 2 * BLOCK)
            prompt = prompt_tokens(dialogue(1))
            wanted = {
                f'infernet_prompt_cache_tokens_total{{kind="{kind}",model="sim"}} {float(tokens)}'
                for kind, tokens in (("prompt", 2 * prompt), ("predicted", 2 * BLOCK), ("actual", 2 * BLOCK))
            }
            async with system.client(key=None) as prometheus:

                async def are_told() -> bool:
                    return wanted <= set((await prometheus.get("/metrics")).text.splitlines())

                await until(are_told, "the Scheduler's counts handed in")

    run(scenario())


def test_a_job_that_waits_is_told_who_has_its_prompt(database: Path) -> None:
    async def scenario() -> None:
        async with caching(database, engines=1, batch_slots=1) as system:
            await asked(system, dialogue(1))
            running = await submitted(system, dialogue(2), max_tokens=500)
            waiting = await submitted(system, dialogue(1, 2))
            standing = (await system.gateway.jobs.placement(waiting, system.principal.account_id)).standing
            assert standing is not None
            (verdict,) = standing.verdicts
            assert (verdict.ruled_out_by, verdict.cached_tokens) == ("no room", 2 * BLOCK)
            await system.ended(running)
            await system.ended(waiting)

    run(scenario())
