"""What tests of the Ledger start from: a database with two accounts and their keys, a clock, jobs and their ends."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from actors.ledger import Ledger
from cluster.ids import AccountId, EngineId, KeyId, NodeId, new_job_id
from cluster.keys import new_secret
from cluster.messages.money import Rates, Usage
from cluster.messages.people import Account, KeyLimits, NewKey, Principal
from cluster.messages.placements import Placed
from cluster.messages.work import Accepted, ChatMessage, Ended, Failed, Finished, Job, Sampling, Submission
from cluster.store import accounts, keys
from cluster.store.database import Database
from cluster.timing import Timing
from tests.support.clocks import StillClock

NOW = 1_800_000_123_456
OURS, THEIRS = AccountId("acct_ours"), AccountId("acct_theirs")
OUR_KEY, THEIR_KEY = KeyId("key_ours"), KeyId("key_theirs")
OUR_SECRET = "inft_" + "o" * 32
DEFAULT = KeyLimits(submissions_per_minute=5)
ADMIN = Principal(AccountId("acct_admin"), KeyId("key_admin"), "admin", DEFAULT)


class Clock(StillClock):
    """A clock that tests set; it begins at `NOW`."""

    def __init__(self, ms: int = NOW) -> None:
        super().__init__(ms)


Place = Path | str
"""Where a database is: a file of SQLite, or the URL of a server's."""


NewPlace = Callable[[], Place]
"""Makes a database with two accounts and their keys."""


def url(place: Place) -> str:
    return f"sqlite:///{place}" if isinstance(place, Path) else place


def prepared(path: Path) -> Path:
    """A new database file with two accounts and their keys."""
    path.touch(0o600)
    path.write_bytes(_prepared())
    return path


def with_ledger(
    place: Place,
    scenario: Callable[[Ledger], Awaitable[None]],
    clock: Clock | None = None,
    timing: Timing = Timing(),
) -> None:
    """Runs `scenario` with a Ledger that has just been made for the database at `place`."""

    async def run() -> None:
        ledger = Ledger(url(place), None, DEFAULT, clock or Clock(), timing)
        try:
            await scenario(ledger)
        finally:
            await ledger.stop()

    asyncio.run(run())


def elsewhere(place: Place, query: str) -> list[tuple[Any, ...]]:
    """What another process would read now."""
    if isinstance(place, str):
        from tests.support import postgres

        return postgres.rows(place, query)
    connection = sqlite3.connect(place)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def job(created_ms: int = NOW, account: AccountId = OURS, **fields: object) -> Job:
    given: dict[str, object] = {
        "id": new_job_id(),
        "account_id": account,
        "key_id": OUR_KEY if account == OURS else THEIR_KEY,
        "model": "sim:fast",
        "messages": (ChatMessage("system", "Be brief."), ChatMessage("user", "Größe? 🦜\x00")),
        "sampling": Sampling(max_tokens=7, temperature=0.3, top_p=0.9, stop=("\n",), seed=2**63 - 1, json_schema="{}"),
        "created_ms": created_ms,
        "deadline_ms": created_ms + 300_000,
        "node_id": NodeId("node_pin"),
        "metadata": {"trace": "é"},
        "prompt_tokens": 9,
        "rates": Rates(prompt=1_000_000, completion=2_000_000),
    }
    return Job(**(given | fields))  # type: ignore[arg-type]


def accepted(job: Job) -> Accepted:
    return Accepted(job.id, job.model, job.created_ms)


async def create(ledger: Ledger, *jobs: Job) -> None:
    """Has these jobs accepted."""
    assert await ledger.create([Submission(made) for made in jobs]) == [accepted(made) for made in jobs]


def placed(job: Job, attempt: int = 1, after_ms: int = 1_000) -> Placed:
    node, engine = NodeId(f"node_{attempt}"), EngineId(f"engine/{attempt}")
    return Placed(job.id, node, engine, attempt, job.created_ms + after_ms)


def completed(job: Job, content: str = "Paris.", tokens: int = 20, after_ms: int = 2_000) -> Ended:
    return Ended(job.id, content, Finished(Usage(3, tokens), "stop"), job.created_ms + after_ms)


def failed(job: Job, content: str = "Par") -> Ended:
    end = Failed(Usage(3, 1), "timeout", "It took too long")
    return Ended(job.id, content, end, job.created_ms + 3_000)


def prepare(place: Place) -> None:
    """Adds two accounts and their keys to a new database."""
    database = Database(url(place))
    for account, key_id, secret in ((OURS, OUR_KEY, OUR_SECRET), (THEIRS, THEIR_KEY, new_secret())):
        add_account = partial(accounts.add, account=Account(account, "an account", NOW))
        add_key = partial(keys.add, key=NewKey(key_id, account, "a key", secret, "member", NOW))
        assert database.commit([add_account, add_key]) == [None, None]
    database.close()


@cache
def _prepared() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "prepared.db"
        prepare(path)
        return path.read_bytes()
