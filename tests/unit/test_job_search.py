"""Searching jobs: whatever is asked for together, each that fits is told once, whichever way it is looked for."""

import random
from collections.abc import Iterator
from itertools import product
from typing import Any

from msgspec.structs import replace

from actors.ledger import Ledger
from cluster.ids import AccountId, JobId, NodeId
from cluster.job_states import JobState
from cluster.messages.records import JobQuery
from cluster.messages.work import Accepted, Submission
from cluster.store.database import Database
from cluster.store.job_search import PACE, Pace, search
from tests.support.clocks import StillClock
from tests.support.ledger_stage import (
    NOW,
    OUR_KEY,
    OURS,
    THEIR_KEY,
    THEIRS,
    Place,
    completed,
    failed,
    job,
    placed,
    url,
    with_ledger,
)

MODELS = ("small", "large")
NODES = (NodeId("node_a"), NodeId("node_b"), None)
ERRORS = ("timeout", "engine_error")
SHORT = Pace(turn_s=0.0, first_part=3, longest_part=5, many=4)
"""So that a page is one part of a few jobs, and its turn is over with that."""

PATIENT = Pace(turn_s=60.0, first_part=1, longest_part=2, many=1)


def test_every_question_is_answered_with_all_that_fit_newest_first(place: Place) -> None:
    told = written(place)
    database = Database(url(place))
    try:
        for account_id, query in questions():
            expected = [each["id"] for each in told if fits(each, account_id, query)]
            for pace in (PACE, SHORT, PATIENT):
                assert listed(database, account_id, query, pace) == expected, (account_id, query, pace)
    finally:
        database.close()


def test_a_page_that_is_not_full_is_the_last_but_where_its_turn_is_over(place: Place) -> None:
    told = written(place)
    database = Database(url(place))
    query = JobQuery(limit=100, model="small", node_id=NodeId("node_a"))
    try:
        whole = database.read(lambda connection: search(connection, None, query))
        assert whole.next is None
        short = database.read(lambda connection: search(connection, None, query, StillClock(), SHORT))
        assert len(short.records) < len(whole.records) < len(told)
        assert short.next is not None
        assert short.records == whole.records[: len(short.records)]
    finally:
        database.close()


def test_everybodys_jobs_tell_whose_they_are(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        ours, theirs = job(NOW + 1), job(NOW, THEIRS)
        await ledger.create([Submission(each) for each in (ours, theirs)])
        page = await ledger.jobs(None, JobQuery())
        assert [(each.id, each.account_id, each.key_id) for each in page.records] == [
            (ours.id, OURS, OUR_KEY),
            (theirs.id, THEIRS, THEIR_KEY),
        ]
        assert await ledger.job(theirs.id, None) == page.records[1]

    with_ledger(place, scenario)


def questions() -> Iterator[tuple[AccountId | None, JobQuery]]:
    """All that can be asked together, in pages of different lengths."""
    accounts = (None, OURS, THEIRS, AccountId("acct_none"))
    states = (None, *JobState)
    chance = random.Random(3)
    for account_id, state, model, key, node, error in product(
        accounts, states, (None, "large"), (None, OUR_KEY), (None, NODES[1]), (None, "timeout", "cancelled")
    ):
        since, until = chance.choice(((None, None), (NOW + 5, None), (None, NOW + 20), (NOW + 3, NOW + 22)))
        limit = chance.choice((1, 2, 7, 100))
        yield account_id, JobQuery(limit, state, since, None, until, model, key, node, error)


def fits(each: dict[str, Any], account_id: AccountId | None, query: JobQuery) -> bool:
    asked = {
        "account_id": account_id,
        "state": query.status,
        "model": query.model,
        "key_id": query.key_id,
        "node_id": query.node_id,
        "error": query.error,
    }
    since, until = query.since_ms or 0, query.until_ms or NOW * 2
    return all(value in (None, each[name]) for name, value in asked.items()) and since <= each["created_ms"] < until


def listed(database: Database, account_id: AccountId | None, query: JobQuery, pace: Pace) -> list[JobId]:
    """Page by page, to the end."""
    found: list[JobId] = []
    before = None
    while True:
        asked = replace(query, before=before)
        page = database.read(lambda connection, asked=asked: search(connection, account_id, asked, StillClock(), pace))
        assert len(page.records) <= query.limit
        found += [record.id for record in page.records]
        if page.next is None:
            return found
        assert before is None or page.next < before
        before = page.next


def written(place: Place) -> list[dict[str, Any]]:
    """Jobs of every kind, some of one millisecond; what is known of them, newest first."""
    chance = random.Random(1)
    told: list[dict[str, Any]] = []

    async def scenario(ledger: Ledger) -> None:
        for number, (state, model) in enumerate(product((*JobState, JobState.FAILED) * 4, MODELS)):
            account, key = chance.choice(((OURS, OUR_KEY), (OURS, OUR_KEY), (THEIRS, THEIR_KEY)))
            made = job(NOW + number // 2, account, model=model, key_id=key)
            node = None if state is JobState.PENDING else chance.choice(NODES[:2])
            error = chance.choice(ERRORS) if state is JobState.FAILED else None
            assert isinstance((await ledger.create([Submission(made)]))[0], Accepted)
            if node is not None:
                await ledger.placed([replace(placed(made), node_id=node)])
            if state is JobState.COMPLETED:
                await ledger.finish([completed(made)])
            elif state is JobState.FAILED:
                ended = failed(made)
                await ledger.finish([replace(ended, end=replace(ended.end, error=error))])
            known = {"id": made.id, "account_id": account, "key_id": key, "model": model, "node_id": node}
            told.append(known | {"state": state, "error": error, "created_ms": made.created_ms})

    with_ledger(place, scenario)
    return sorted(told, key=lambda each: (each["created_ms"], each["id"]), reverse=True)
