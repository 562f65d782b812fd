"""Jobs, every attempt to run them, and what idempotency keys stand for."""

from typing import ClassVar, Final

from sqlalchemy import BigInteger, Index, LargeBinary, Text, text
from sqlmodel import Field, SQLModel

from cluster.store.tables.columns import NOTHING

_FAILED: Final = "error IS NOT NULL"


class JobRow(SQLModel, table=True):
    """A job, where it was placed last, and how it ended.

    `model` is the id of its adapter where it has one: its usage is counted under that, and `request` has the model's.
    `request` (messages, sampling, the prompt's tokens, priority) and `labels` (the client's metadata) are JSON; the
    rates are outside it, because they are read when the job ends. `content` is UTF-8 in a blob, because a model may
    generate NUL, which PostgreSQL's text cannot hold. `details` is JSON: what the content means, and the like, which
    few jobs have. `operation` is what is asked for, as measures have it. `webhook_id` is the endpoint that its client
    named for it.
    """

    __tablename__ = "jobs"

    id: str = Field(primary_key=True)
    account_id: str = Field(foreign_key="accounts.id")
    key_id: str = Field(foreign_key="api_keys.id")
    model: str
    state: str
    request: str = Field(sa_type=Text)
    labels: str = Field(sa_type=Text)
    created_ms: int = Field(sa_type=BigInteger)
    deadline_ms: int = Field(sa_type=BigInteger)
    pin: str | None = None
    webhook_id: str | None = None
    prompt_rate: int = Field(sa_type=BigInteger, sa_column_kwargs=NOTHING)
    completion_rate: int = Field(sa_type=BigInteger, sa_column_kwargs=NOTHING)
    operation: str = Field(default="chat", sa_column_kwargs={"server_default": "chat"})

    node_id: str | None = None
    engine_id: str | None = None
    attempt: int = 0
    placed_ms: int | None = Field(default=None, sa_type=BigInteger)

    content: bytes | None = Field(default=None, sa_type=LargeBinary)
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    error: str | None = None
    error_message: str | None = Field(default=None, sa_type=Text)
    ended_ms: int | None = Field(default=None, sa_type=BigInteger)
    epoch: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    details: bytes | None = Field(default=None, sa_type=LargeBinary)

    __table_args__: ClassVar[tuple[Index, ...]] = (
        Index("jobs_of_account", "account_id", "created_ms", "id"),
        Index("jobs_of_account_by_state", "account_id", "state", "created_ms", "id"),
        Index("jobs_of_model", "model", "state", "ended_ms"),
        # What jobs are searched by, whoever's they are (`job_search.py`).
        Index("jobs_by_time", "created_ms", "id"),
        Index("jobs_of_key", "key_id", "created_ms", "id"),
        Index("jobs_by_model", "model", "created_ms", "id"),
        Index("jobs_on_node", "node_id", "created_ms", "id"),
        Index("jobs_failed", "created_ms", "id", sqlite_where=text(_FAILED), postgresql_where=text(_FAILED)),
        Index("jobs_by_error", "error", "created_ms", "id", sqlite_where=text(_FAILED), postgresql_where=text(_FAILED)),
        # Few jobs are open at any time, however many there are: an index of just these.
        Index(
            "jobs_open",
            "created_ms",
            "id",
            sqlite_where=text("ended_ms IS NULL"),
            postgresql_where=text("ended_ms IS NULL"),
        ),
        # And those that have ended by when they did: which are to be removed is found by this.
        Index(
            "jobs_by_end",
            "ended_ms",
            sqlite_where=text("ended_ms IS NOT NULL"),
            postgresql_where=text("ended_ms IS NOT NULL"),
        ),
    )


JOBS = SQLModel.metadata.tables["jobs"]


class PlacementRow(SQLModel, table=True):
    """One attempt to run a job. `considered` is JSON, `moved_by` why the job had lost the one before.

    `cached_tokens` is told at the end of the job's last one. It has `passed` so many jobs of its account that came
    earlier. `first_ms` and `last_ms` are when the first and the last token was heard of it, told at the job's end.
    """

    __tablename__ = "placements"

    job_id: str = Field(primary_key=True, foreign_key="jobs.id")
    attempt: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    node_id: str
    engine_id: str
    placed_ms: int = Field(sa_type=BigInteger)
    considered: str = Field(sa_type=Text)
    moved_by: str | None = None
    cached_tokens: int | None = None
    passed: int = 0
    first_ms: int | None = Field(default=None, sa_type=BigInteger)
    last_ms: int | None = Field(default=None, sa_type=BigInteger)


PLACEMENTS = SQLModel.metadata.tables["placements"]


class IdempotencyRow(SQLModel, table=True):
    """Which job an account's idempotency key stands for."""

    __tablename__ = "idempotency"

    account_id: str = Field(primary_key=True, foreign_key="accounts.id")
    key: str = Field(primary_key=True)
    body_hash: str
    job_id: str
    created_ms: int = Field(sa_type=BigInteger)

    __table_args__: ClassVar[tuple[Index, ...]] = (
        Index("idempotency_by_time", "created_ms"),
        Index("idempotency_of_job", "job_id"),
    )


IDEMPOTENCY = SQLModel.metadata.tables["idempotency"]
