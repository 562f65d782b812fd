"""What can be said of a database without a system, and while one uses it: nothing is written."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import URL, Connection, text

from cluster.errors import DatabaseFailed, StartError
from cluster.store import migrations
from cluster.store.database import is_in_use
from cluster.store.failures import shown, translated
from cluster.store.open import is_sqlite, open_to_read, parse
from cluster.store.usage_days import DAY_MS

SchemaState = Literal["none", "older", "current", "newer"]


class Inspection(Struct, frozen=True):
    """How a database is. `faults` are sentences; without a schema there is nothing to count.

    `taken_ms` is when a system began with it last.
    """

    database: str
    schema: str | None
    needed: str
    state: SchemaState
    in_use: bool
    faults: tuple[str, ...] = ()
    open_jobs: int = 0
    ended_jobs: int = 0
    taken_ms: int | None = None
    free_bytes: int | None = None

    @property
    def is_sound(self) -> bool:
        """Whether a system of this software can use it, after an upgrade where it is older."""
        return not self.faults and self.state != "newer"


def inspect(database: str) -> Inspection:
    """Looks at all of it, which takes as long as reading it does. Raises `StartError` where it cannot be read."""
    url = parse(database)
    with _reading(url) as connection:
        return _inspect(connection, url)


def schema_state(database: str) -> SchemaState:
    """How the schema is, which is told at once. Raises `StartError` where there is none to read."""
    with _reading(parse(database)) as connection:
        return _state(migrations.version_of(connection), migrations.newest())


@contextmanager
def _reading(url: URL) -> Iterator[Connection]:
    engine = open_to_read(url)
    try:
        with translated(), engine.connect() as connection, connection.begin():
            yield connection
    except DatabaseFailed as error:
        raise StartError(f"Cannot read the database {shown(url)}: {error}") from None
    finally:
        engine.dispose()


def _inspect(connection: Connection, url: URL) -> Inspection:
    version, needed = migrations.version_of(connection), migrations.newest()
    state = _state(version, needed)
    found = Inspection(shown(url), version, needed, state, is_in_use(url))
    if is_sqlite(url):
        found = replace(found, faults=tuple(_damage(connection)), free_bytes=_free_bytes(connection))
    if state in ("none", "newer"):
        return found
    open_jobs, ended_jobs = (_number(connection, query) for query in (_OPEN, _ENDED))
    found = replace(found, open_jobs=open_jobs, ended_jobs=ended_jobs)
    if state == "older":
        return found  # what its tables are to hold is known of the newest ones
    faults = (*found.faults, *_contradictions(connection))
    return replace(found, faults=faults, taken_ms=_number(connection, _TAKEN) or None)


def _state(version: str | None, needed: str) -> SchemaState:
    if version is None:
        return "none"
    if version == needed:
        return "current"
    return "older" if migrations.is_known(version) else "newer"


def _damage(connection: Connection) -> Iterator[str]:
    """What SQLite finds wrong with its file."""
    for said in connection.scalars(text("PRAGMA integrity_check(5)")):
        if said != "ok":
            yield f"the file is damaged: {said}"
    if lost := len(connection.execute(text("PRAGMA foreign_key_check")).all()):
        yield f"{lost} rows refer to what is not there"


def _contradictions(connection: Connection) -> Iterator[str]:
    """What no system would have written. Each is asked in one statement, which sees one moment."""
    for query, said in _NEVER:
        if count := _number(connection, query):
            yield f"{count} {said}"


def _free_bytes(connection: Connection) -> int:
    return _number(connection, "PRAGMA freelist_count") * _number(connection, "PRAGMA page_size")


def _number(connection: Connection, query: str) -> int:
    return int(connection.scalar(text(query)) or 0)


_OPEN = "SELECT count(*) FROM jobs WHERE ended_ms IS NULL"
_ENDED = "SELECT count(*) FROM jobs WHERE ended_ms IS NOT NULL"
_TAKEN = "SELECT taken_ms FROM owner"
_DAYS = (
    "SELECT account_id, day, key_id, model, jobs, prompt_tokens AS prompt, completion_tokens AS completion, cost"
    " FROM usage_days"
)
_LESS_ROWS = (
    f"SELECT account_id, ended_ms / {DAY_MS}, key_id, model, -1, -prompt_tokens, -completion_tokens, -cost FROM usage"
)
_NEVER = (
    (
        "SELECT count(*) FROM jobs WHERE ended_ms IS NOT NULL AND NOT EXISTS"
        " (SELECT 1 FROM usage WHERE usage.job_id = jobs.id)",
        "ended jobs without usage",
    ),
    (
        "SELECT count(*) FROM jobs WHERE ended_ms IS NULL AND EXISTS"
        " (SELECT 1 FROM usage WHERE usage.job_id = jobs.id)",
        "open jobs with usage",
    ),
    (
        f"SELECT count(*) FROM (SELECT 1 FROM ({_DAYS} UNION ALL {_LESS_ROWS}) AS both_of_them"
        " GROUP BY account_id, day, key_id, model"
        " HAVING sum(jobs) <> 0 OR sum(prompt) <> 0 OR sum(completion) <> 0 OR sum(cost) <> 0) AS wrong",
        "sums of days that are not those of their jobs",
    ),
    (
        "SELECT count(*) FROM reservations JOIN jobs ON jobs.id = reservations.job_id WHERE jobs.ended_ms IS NOT NULL",
        "reservations of jobs that have ended",
    ),
    (
        "SELECT count(*) FROM budgets WHERE reserved <>"
        " coalesce((SELECT sum(amount) FROM reservations WHERE reservations.owner_id = budgets.owner_id), 0)",
        "budgets that have reserved another amount than their jobs",
    ),
)
