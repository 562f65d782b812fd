"""What is measured of a database: each thing that a system asks of it, again and again."""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from alembic import command
from sqlalchemy import create_engine

from actors.ledger import Ledger
from cluster.clock import wall_ms
from cluster.ids import AccountId, JobId, NodeId
from cluster.job_states import JobState
from cluster.messages.money import UsageQuery
from cluster.messages.records import JobQuery
from cluster.messages.work import Submission
from cluster.store import migrations
from cluster.store.usage_days import DAY_MS
from tests.support.ledger_stage import (
    DEFAULT,
    OUR_KEY,
    OURS,
    THEIR_KEY,
    THEIRS,
    Place,
    completed,
    job,
    url,
)

START: Final = "start: open, open jobs, marks, speeds"
AT_ONCE = 64
SEARCHES = 1_000

Call = Callable[[], Awaitable[object]]


def ledger_of(place: Place, retention_days: int | None = None) -> Ledger:
    return Ledger(url(place), None, DEFAULT, retention_days=retention_days)


async def start(place: Place) -> float:
    """The seconds that a system waits for its database when it starts."""
    ledger = ledger_of(place)
    began_s = time.perf_counter()
    await ledger.start()
    await asyncio.gather(
        ledger.open_jobs(), ledger.open_attempts(), ledger.share_marks(), ledger.window_marks(), ledger.speeds()
    )
    seconds = time.perf_counter() - began_s
    await ledger.stop()
    return seconds


def upgrade(place: Place, before: str) -> float:
    """The seconds that a database of this older schema takes to become one of the newest."""
    engine = create_engine(url(place))
    with engine.begin() as connection:
        command.downgrade(migrations.config_of(connection), before)
    began_s = time.perf_counter()
    migrations.upgrade(engine)
    seconds = time.perf_counter() - began_s
    engine.dispose()
    return seconds


async def measured(ledger: Ledger, repeats: int) -> dict[str, list[float]]:
    """By what was asked: the seconds of each answer."""
    now_ms = wall_ms()
    drawn = random.Random(1)
    deep = now_ms - 200 * DAY_MS
    first_page = (await ledger.jobs(OURS, JobQuery(100))).records
    month = UsageQuery(OURS, now_ms - 60 * DAY_MS, now_ms - 30 * DAY_MS, ("day",))
    reads: dict[str, Call] = {
        "list: the newest 20": lambda: ledger.jobs(OURS, JobQuery(21)),
        "list: completed ones": lambda: ledger.jobs(OURS, JobQuery(21, JobState.COMPLETED)),
        "list: failed ones": lambda: ledger.jobs(OURS, JobQuery(21, JobState.FAILED)),
        "list: pending ones, of which there are none": lambda: ledger.jobs(OURS, JobQuery(21, JobState.PENDING)),
        "list: a page of half a year ago": lambda: ledger.jobs(OURS, JobQuery(21, before=(deep, JobId("job_")))),
        "one job": lambda: ledger.job(drawn.choice(first_page).id, OURS),
        "usage: all of it": lambda: ledger.usage(UsageQuery(OURS)),
        "usage: all of it, by day": lambda: ledger.usage(UsageQuery(OURS, group_by=("day",))),
        "usage: 30 days that begin within one": lambda: ledger.usage(month),
        "speeds of the models": ledger.speeds,
    }
    found = {name: [await _timed(call) for _ in range(repeats)] for name, call in reads.items()}
    found[f"search: {SEARCHES} of all that can be asked together"] = await _searches(ledger, now_ms)
    found["submission"] = [await _timed(partial(_submit, ledger)) for _ in range(repeats)]
    found[f"{AT_ONCE} submissions at once"] = [await _timed(partial(_submit_many, ledger)) for _ in range(repeats)]
    found["end of a job"] = [await _end_one(ledger) for _ in range(repeats)]
    return found


async def _searches(ledger: Ledger, now_ms: int) -> list[float]:
    """The first page, or one from the middle, of what is asked for by any filters at once."""
    accounts = (None, OURS, THEIRS, AccountId("acct_none"))
    models, keys = (None, "model3", "model4", "none"), (None, OUR_KEY, THEIR_KEY)
    nodes = (None, *(NodeId(f"node_{number}") for number in range(4)))
    errors, times = (None, "timeout", "no_capacity", "cancelled"), ((None, None), (100, 70))
    befores = (None, (now_ms - 180 * DAY_MS, JobId("job_")))
    together = [*itertools.product(accounts, (None, *JobState), models, keys, nodes, errors, times, befores)]
    seconds = []
    for account, state, model, key, node, error, (since, until), before in random.Random(1).sample(together, SEARCHES):
        since_ms, until_ms = (None if days is None else now_ms - days * DAY_MS for days in (since, until))
        query = JobQuery(20, state, since_ms, before, until_ms, model, key, node, error)
        seconds.append(await _timed(partial(ledger.jobs, account, query)))
    return seconds


async def submitting(ledger: Ledger, until: "asyncio.Event", pause_s: float = 0.01) -> list[float]:
    """The seconds of submissions, one after the other with a pause between them, for as long as that takes."""
    seconds = []
    while not until.is_set():
        seconds.append(await _timed(partial(_submit, ledger)))
        await asyncio.sleep(pause_s)
    return seconds


async def end_all(ledger: Ledger) -> None:
    """Ends what is open, as it was before."""
    ends = [completed(opened.job) for opened in await ledger.open_jobs()]
    for first in range(0, len(ends), 500):
        await ledger.finish(ends[first : first + 500])


async def _timed(call: Call) -> float:
    began_s = time.perf_counter()
    await call()
    return time.perf_counter() - began_s


async def _submit(ledger: Ledger) -> None:
    await ledger.create([Submission(job(wall_ms()))])


async def _submit_many(ledger: Ledger) -> Sequence[object]:
    return await asyncio.gather(*(_submit(ledger) for _ in range(AT_ONCE)))


async def _end_one(ledger: Ledger) -> float:
    one = job(wall_ms())
    await ledger.create([Submission(one)])
    return await _timed(lambda: ledger.finish([completed(one)]))
