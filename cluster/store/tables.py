"""The tables: SQLModel classes declare them, queries use them as plain tables.

Times are milliseconds since the Unix epoch. SQL types are portable: the database may be a PostgreSQL one.
"""

from typing import ClassVar

from sqlalchemy import BigInteger, Index, LargeBinary, Text, text
from sqlmodel import Field, SQLModel


class AccountRow(SQLModel, table=True):
    """Who owns keys and jobs."""

    __tablename__ = "accounts"

    id: str = Field(primary_key=True)
    name: str
    created_ms: int = Field(sa_type=BigInteger)


class KeyRow(SQLModel, table=True):
    """An API key. The secret itself is not stored; `limits` is JSON, null means the default limits."""

    __tablename__ = "api_keys"

    id: str = Field(primary_key=True)
    account_id: str = Field(foreign_key="accounts.id", index=True)
    name: str
    prefix: str
    key_hash: str = Field(unique=True)
    role: str
    created_ms: int = Field(sa_type=BigInteger)
    expires_ms: int | None = Field(default=None, sa_type=BigInteger)
    revoked_ms: int | None = Field(default=None, sa_type=BigInteger)
    limits: str | None = Field(default=None, sa_type=Text)


class JobRow(SQLModel, table=True):
    """A job, where it was placed last, and how it ended.

    `request` (messages, sampling) and `labels` (the client's metadata) are JSON. `content` is UTF-8 in a
    blob, because a model may generate NUL, which PostgreSQL's text cannot hold.
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

    __table_args__: ClassVar[tuple[Index, ...]] = (
        Index("jobs_of_account", "account_id", "created_ms", "id"),
        Index("jobs_of_account_by_state", "account_id", "state", "created_ms", "id"),
        Index("jobs_of_model", "model", "state", "ended_ms"),
        Index("jobs_by_time", "created_ms", "key_id"),
        # Few jobs are open at any time, however many there are: an index of just these.
        Index(
            "jobs_open",
            "created_ms",
            "id",
            sqlite_where=text("ended_ms IS NULL"),
            postgresql_where=text("ended_ms IS NULL"),
        ),
    )


class UsageRow(SQLModel, table=True):
    """What an ended job consumed: one row per job. It refers to no job row, because it outlives it."""

    __tablename__ = "usage"

    job_id: str = Field(primary_key=True)
    account_id: str = Field(foreign_key="accounts.id")
    key_id: str = Field(foreign_key="api_keys.id")
    model: str
    prompt_tokens: int
    completion_tokens: int
    ended_ms: int = Field(sa_type=BigInteger)

    __table_args__: ClassVar[tuple[Index, ...]] = (Index("usage_of_account", "account_id", "ended_ms"),)


ACCOUNTS = SQLModel.metadata.tables["accounts"]
KEYS = SQLModel.metadata.tables["api_keys"]
JOBS = SQLModel.metadata.tables["jobs"]
USAGE = SQLModel.metadata.tables["usage"]
