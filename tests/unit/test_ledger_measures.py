"""What the Ledger measures of ended jobs: once each, in the transaction that ends them, for whoever comes after it."""

import asyncio
from functools import partial

from msgspec.structs import replace

from actors.ledger import Ledger
from cluster.measures import buckets
from cluster.measures.activity import MINUTE_MS
from cluster.measures.measures import Measures
from cluster.messages.money import Usage
from cluster.messages.placements import Heard
from cluster.messages.work import Finished, Form, Submission
from cluster.store import jobs
from cluster.store.database import Database
from tests.support.ledger_stage import (
    NOW,
    Clock,
    Place,
    completed,
    create,
    elsewhere,
    failed,
    job,
    placed,
    url,
    with_ledger,
)


async def measured(ledger: Ledger) -> dict[tuple[str, str], Measures]:
    return {(each.model, each.operation): each.measures for each in (await ledger.totals()).measures}


def test_jobs_are_measured_once_and_whoever_comes_after_goes_on(place: Place) -> None:
    one, two, lost = job(model="a"), job(model="b"), job(model="a")

    async def before(ledger: Ledger) -> None:
        assert await measured(ledger) == {}
        await create(ledger, one, two, lost)
        await ledger.finish([completed(two), failed(lost), completed(lost), completed(job())])
        await asyncio.gather(*(ledger.finish([completed(one), completed(two)]) for _ in range(3)))
        found = await measured(ledger)
        assert list(found) == [("a", "chat"), ("b", "chat")]
        a, b = found.values()
        assert (a.completed, a.failures, a.prompt_tokens, a.completion_tokens) == (1, {"timeout": 1}, 6, 21)
        assert (b.completed, b.failures, b.prompt_tokens, b.completion_tokens) == (1, {}, 3, 20)

    async def after(ledger: Ledger) -> None:
        another = job(model="a")
        await create(ledger, another)
        await ledger.finish([completed(one), completed(another)])
        assert (await measured(ledger))["a", "chat"].completed == 2
        assert (await measured(ledger))["b", "chat"].completed == 1

    with_ledger(place, before)
    with_ledger(place, after)


def test_the_way_of_a_job_is_measured_from_its_attempts_and_its_end(place: Place) -> None:
    one = job()
    ran = replace(placed(one, attempt=3, after_ms=1_500), considered=())
    heard = (Heard(1, NOW + 2_000, NOW + 2_100), Heard(3, NOW + 2_400, NOW + 4_000))
    end = replace(completed(one, tokens=11, after_ms=4_000), ran=ran, first_text_ms=NOW + 2_000, heard=heard)

    async def scenario(ledger: Ledger) -> None:
        await create(ledger, one)
        await ledger.placed([placed(one, after_ms=40)])
        await ledger.placed([replace(placed(one, attempt=2, after_ms=900), moved_by="engine died")])
        await ledger.finish([end])
        (sums,) = (await measured(ledger)).values()
        assert sums.attempts == {"new job": 1, "engine died": 1, "unknown": 1}
        assert sums.queue_wait.sum == 0.04
        assert sums.first_text.sum == 2.0
        assert sums.per_token.sum == 0.2
        assert sums.gaps.sum == 0.3
        assert sums.durations[""].sum == 4.0

    with_ledger(place, scenario)


def test_what_is_asked_for_is_told_apart(place: Place) -> None:
    made = [
        job(),
        job(form=Form("chat", "{}")),
        job(form=Form("completion", "{}")),
        job(form=Form("embedding", "{}")),
        job(form=Form("rerank", "{}")),
        job(form=Form("score", "{}"), model="other", adapter="adapter"),
    ]

    async def scenario(ledger: Ledger) -> None:
        await ledger.create([Submission(each) for each in made])
        await ledger.finish([completed(each) for each in made])
        counted = {kind: sums.completed for kind, sums in (await measured(ledger)).items()}
        assert counted == {
            ("adapter", "score"): 1,
            ("sim:fast", "chat"): 2,
            ("sim:fast", "embeddings"): 1,
            ("sim:fast", "rerank"): 1,
            ("sim:fast", "text_completion"): 1,
        }

    with_ledger(place, scenario)


def test_minutes_are_told_with_what_today_costs(place: Place) -> None:
    clock = Clock()
    day_ms = 86_400_000
    ends = [NOW, NOW - MINUTE_MS, NOW - MINUTE_MS, NOW - 5 * MINUTE_MS, NOW - day_ms]

    async def scenario(ledger: Ledger) -> None:
        made = [job(ended_ms - 2_000, model=f"m{number % 2}") for number, ended_ms in enumerate(ends)]
        await create(ledger, *made)
        await ledger.finish([completed(each) for each in made])
        told = await ledger.ended_minutes(5)
        current = NOW // MINUTE_MS
        assert {minute - current: sums.completed for minute, sums in told.minutes.items()} == {0: 1, -1: 2}
        assert told.cost_today == 4 * 43
        assert {minute - current for minute in (await ledger.ended_minutes(6)).minutes} == {0, -1, -5}
        clock.ms += day_ms
        assert (await ledger.ended_minutes(60)).cost_today == 0

    with_ledger(place, scenario, clock)


def test_minutes_of_long_ago_are_removed_and_the_totals_stay(place: Place) -> None:
    clock = Clock()

    async def scenario(ledger: Ledger) -> None:
        old, new = job(NOW), job(NOW + MINUTE_MS)
        await create(ledger, old, new)
        await ledger.finish([completed(old), completed(new)])
        clock.ms = NOW + 2_000 + 2 * 86_400_000 + MINUTE_MS
        await ledger.prune_minutes()
        minutes = elsewhere(place, "SELECT minute FROM measure_minutes")
        assert minutes == [((NOW + MINUTE_MS + 2_000) // MINUTE_MS,)]
        (sums,) = (await measured(ledger)).values()
        assert sums.completed == 2

    with_ledger(place, scenario, clock)


def test_what_is_not_committed_is_not_measured(place: Place) -> None:
    one = job()

    async def scenario(ledger: Ledger) -> None:
        await create(ledger, one)

    async def after(ledger: Ledger) -> None:
        assert await measured(ledger) == {}
        await ledger.finish([replace(completed(one), end=Finished(Usage(3, 4), "stop"))])
        (sums,) = (await measured(ledger)).values()
        assert (sums.completed, sums.completion_tokens) == (1, 4)
        assert sums.outputs.cumulative(buckets.TOKENS)[:2] == [0, 1]

    with_ledger(place, scenario)
    database = Database(url(place))
    (refused,) = database.commit([partial(_end_and_fail, end=completed(one))])
    assert isinstance(refused, ZeroDivisionError)
    database.close()
    with_ledger(place, after)


def _end_and_fail(connection: object, end: object) -> None:
    jobs.finish(connection, [end])  # type: ignore[arg-type, list-item]
    raise ZeroDivisionError
