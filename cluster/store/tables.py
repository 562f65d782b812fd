"""The tables: SQLModel classes declare them, queries use them as plain tables.

Times are milliseconds since the Unix epoch. SQL types are portable: the database may be a PostgreSQL one.
"""

from typing import ClassVar, Final

from sqlalchemy import BigInteger, Double, Index, LargeBinary, Text, text
from sqlmodel import Field, SQLModel

_NOTHING: Final = {"server_default": "0"}
"""For columns that rows of an older version have nothing for."""

_FAILED: Final = "error IS NOT NULL"


class AccountRow(SQLModel, table=True):
    """Who owns keys and jobs. `limits` is JSON; null means the default limits.

    `weight` is its share of models, `max_queued` how many of its jobs may wait; null means any number.
    """

    __tablename__ = "accounts"

    id: str = Field(primary_key=True)
    name: str
    created_ms: int = Field(sa_type=BigInteger)
    limits: str | None = Field(default=None, sa_type=Text)
    weight: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    max_queued: int | None = None


class KeyRow(SQLModel, table=True):
    """An API key. The secret itself is not stored.

    `limits` and `models` are JSON; null means the account's limits, and all models.
    """

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
    models: str | None = Field(default=None, sa_type=Text)
    last_used_ms: int | None = Field(default=None, sa_type=BigInteger)


class BudgetRow(SQLModel, table=True):
    """The budget of an account or a key, which is its owner. `month` is that of `spent`, 0 if it is for all time.

    `told` is the highest threshold that was told of in it.
    """

    __tablename__ = "budgets"

    owner_id: str = Field(primary_key=True)
    unit: str
    amount: int = Field(sa_type=BigInteger)
    period: str
    month: int
    spent: int = Field(sa_type=BigInteger)
    reserved: int = Field(sa_type=BigInteger)
    told: int = Field(default=0, sa_column_kwargs=_NOTHING)


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
    prompt_rate: int = Field(sa_type=BigInteger, sa_column_kwargs=_NOTHING)
    completion_rate: int = Field(sa_type=BigInteger, sa_column_kwargs=_NOTHING)
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


class UsageRow(SQLModel, table=True):
    """What an ended job consumed: one row per job. It refers to no job row, because it outlives it."""

    __tablename__ = "usage"

    job_id: str = Field(primary_key=True)
    account_id: str = Field(foreign_key="accounts.id")
    key_id: str = Field(foreign_key="api_keys.id")
    model: str
    prompt_tokens: int
    completion_tokens: int
    cost: int = Field(sa_type=BigInteger, sa_column_kwargs=_NOTHING)
    ended_ms: int = Field(sa_type=BigInteger)

    __table_args__: ClassVar[tuple[Index, ...]] = (
        Index("usage_of_account", "account_id", "ended_ms"),
        Index("usage_by_end", "ended_ms"),
    )


class UsageDayRow(SQLModel, table=True):
    """What the jobs that ended on a day consumed, of a key and a model. `day` counts UTC's days from the Unix epoch.

    It is the sum of those rows of usage, always: what writes one writes the other.
    """

    __tablename__ = "usage_days"

    account_id: str = Field(primary_key=True, foreign_key="accounts.id")
    day: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    key_id: str = Field(primary_key=True, foreign_key="api_keys.id")
    model: str = Field(primary_key=True)
    jobs: int = Field(sa_type=BigInteger)
    prompt_tokens: int = Field(sa_type=BigInteger)
    completion_tokens: int = Field(sa_type=BigInteger)
    cost: int = Field(sa_type=BigInteger)

    __table_args__: ClassVar[tuple[Index, ...]] = (Index("usage_days_by_day", "day"),)


class ReservationRow(SQLModel, table=True):
    """What a job that has not ended holds of a budget, whatever the rule was by which it was reckoned."""

    __tablename__ = "reservations"

    job_id: str = Field(primary_key=True, foreign_key="jobs.id")
    owner_id: str = Field(primary_key=True, foreign_key="budgets.owner_id")
    amount: int = Field(sa_type=BigInteger)


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


class WindowRow(SQLModel, table=True):
    """How much of a rate limit's window was used: the latest window of each length. `ends_s` is its end."""

    __tablename__ = "rate_windows"

    key_id: str = Field(primary_key=True)
    bucket: str = Field(primary_key=True)
    length_s: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    number: int = Field(sa_type=BigInteger)
    used: int = Field(sa_type=BigInteger)
    ends_s: int = Field(sa_type=BigInteger)

    __table_args__: ClassVar[tuple[Index, ...]] = (Index("rate_windows_by_end", "ends_s"),)


class ShareRow(SQLModel, table=True):
    """What an account has had of a model while others waited, in tokens by their weight and its own."""

    __tablename__ = "shares"

    model: str = Field(primary_key=True)
    account_id: str = Field(primary_key=True)
    counter: float = Field(sa_type=Double)


class ModelSettingsRow(SQLModel, table=True):
    """What admins have set of a model while the system runs; null is what the settings file says.

    Its engines have been restarted on demand so many times.
    """

    __tablename__ = "model_settings"

    model: str = Field(primary_key=True)
    min: int | None = None
    max: int | None = None
    idle_s: int | None = None
    restarts: int = 0


class MediumRow(SQLModel, table=True):
    """A picture or a sound, under the SHA-256 of its bytes. A submission brought it last at `brought_ms`."""

    __tablename__ = "media"

    hash: str = Field(primary_key=True)
    content: bytes = Field(sa_type=LargeBinary)
    brought_ms: int = Field(sa_type=BigInteger)

    __table_args__: ClassVar[tuple[Index, ...]] = (Index("media_by_time", "brought_ms"),)


class JobMediumRow(SQLModel, table=True):
    """A job that has not ended needs this medium."""

    __tablename__ = "job_media"

    job_id: str = Field(primary_key=True, foreign_key="jobs.id")
    hash: str = Field(primary_key=True, foreign_key="media.hash")

    __table_args__: ClassVar[tuple[Index, ...]] = (Index("job_media_by_hash", "hash"),)


class MeasuresRow(SQLModel, table=True):
    """What has ended of a model, or an adapter, and an operation since there is this table. `sums` are JSON."""

    __tablename__ = "measures"

    model: str = Field(primary_key=True)
    operation: str = Field(primary_key=True)
    sums: str = Field(sa_type=Text)


class MeasureMinuteRow(SQLModel, table=True):
    """What of that has ended in one minute of the last days. `minute` counts those since the Unix epoch."""

    __tablename__ = "measure_minutes"

    minute: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    model: str = Field(primary_key=True)
    operation: str = Field(primary_key=True)
    sums: str = Field(sa_type=Text)


class TallyRow(SQLModel, table=True):
    """What processes have counted together under this name and these labels, which are a list in JSON."""

    __tablename__ = "tallies"

    name: str = Field(primary_key=True)
    labels: str = Field(primary_key=True)
    value: float = Field(sa_type=Double)


class TallySourceRow(SQLModel, table=True):
    """A process that hands in what it has counted, and the number of the last sheet that is in the tallies."""

    __tablename__ = "tally_sources"

    source: str = Field(primary_key=True)
    number: int = Field(sa_type=BigInteger)
    told_ms: int = Field(sa_type=BigInteger)


class WebhookRow(SQLModel, table=True):
    """An endpoint that is told of events. `events` and `secrets` are JSON; the secrets are kept themselves: they sign.

    One that was removed stays until its deliveries have gone.
    """

    __tablename__ = "webhooks"

    id: str = Field(primary_key=True)
    account_id: str = Field(foreign_key="accounts.id")
    url: str = Field(sa_type=Text)
    events: str = Field(sa_type=Text)
    secrets: str = Field(sa_type=Text)
    created_ms: int = Field(sa_type=BigInteger)
    disabled_by: str | None = None
    removed_ms: int | None = Field(default=None, sa_type=BigInteger)

    __table_args__: ClassVar[tuple[Index, ...]] = (Index("webhooks_of_account", "account_id", "created_ms", "id"),)


class DeliveryRow(SQLModel, table=True):
    """An event on its way to an endpoint, from the transaction in which it happened: `body` is what is sent.

    It is to be tried at `next_ms`, for three days after `begun_ms`; one that has ended has no `next_ms`.
    """

    __tablename__ = "deliveries"

    id: str = Field(primary_key=True)
    webhook_id: str
    event: str
    body: str = Field(sa_type=Text)
    created_ms: int = Field(sa_type=BigInteger)
    begun_ms: int = Field(sa_type=BigInteger)
    status: str
    attempts: int
    last_status: int | None = None
    problem: str | None = None
    next_ms: int | None = Field(default=None, sa_type=BigInteger)
    ended_ms: int | None = Field(default=None, sa_type=BigInteger)

    __table_args__: ClassVar[tuple[Index, ...]] = (
        Index("deliveries_of_webhook", "webhook_id", "created_ms", "id"),
        Index("deliveries_by_status", "webhook_id", "status", "created_ms", "id"),
        # Few wait at any time, and all others are to be removed by and by: an index of just these, and of just those.
        Index(
            "deliveries_due",
            "webhook_id",
            "next_ms",
            sqlite_where=text("next_ms IS NOT NULL"),
            postgresql_where=text("next_ms IS NOT NULL"),
        ),
        Index(
            "deliveries_by_end",
            "ended_ms",
            sqlite_where=text("ended_ms IS NOT NULL"),
            postgresql_where=text("ended_ms IS NOT NULL"),
        ),
    )


class OwnerRow(SQLModel, table=True):
    """The one row that says which system owns the database: the one that was given the number `epoch`.

    `touched_ms` is when one last made sure that it can write.
    """

    __tablename__ = "owner"

    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    epoch: int = Field(sa_type=BigInteger)
    taken_ms: int = Field(sa_type=BigInteger)
    touched_ms: int = Field(sa_type=BigInteger)


class OwnSecretRow(SQLModel, table=True):
    """A secret that the system made for itself, and that all its processes share."""

    __tablename__ = "own_secrets"

    name: str = Field(primary_key=True)
    secret: str


class EndedSessionRow(SQLModel, table=True):
    """A session of the dashboard that was ended before its time, which is over at `until_ms`."""

    __tablename__ = "ended_sessions"

    id: str = Field(primary_key=True)
    until_ms: int = Field(sa_type=BigInteger)

    __table_args__: ClassVar[tuple[Index, ...]] = (Index("ended_sessions_by_time", "until_ms"),)


ACCOUNTS = SQLModel.metadata.tables["accounts"]
KEYS = SQLModel.metadata.tables["api_keys"]
JOBS = SQLModel.metadata.tables["jobs"]
USAGE = SQLModel.metadata.tables["usage"]
USAGE_DAYS = SQLModel.metadata.tables["usage_days"]
BUDGETS = SQLModel.metadata.tables["budgets"]
RESERVATIONS = SQLModel.metadata.tables["reservations"]
PLACEMENTS = SQLModel.metadata.tables["placements"]
IDEMPOTENCY = SQLModel.metadata.tables["idempotency"]
WINDOWS = SQLModel.metadata.tables["rate_windows"]
SHARES = SQLModel.metadata.tables["shares"]
MEDIA = SQLModel.metadata.tables["media"]
MODEL_SETTINGS = SQLModel.metadata.tables["model_settings"]
JOB_MEDIA = SQLModel.metadata.tables["job_media"]
MEASURES = SQLModel.metadata.tables["measures"]
MEASURE_MINUTES = SQLModel.metadata.tables["measure_minutes"]
TALLIES = SQLModel.metadata.tables["tallies"]
TALLY_SOURCES = SQLModel.metadata.tables["tally_sources"]
WEBHOOKS = SQLModel.metadata.tables["webhooks"]
DELIVERIES = SQLModel.metadata.tables["deliveries"]
OWNER = SQLModel.metadata.tables["owner"]
OWN_SECRETS = SQLModel.metadata.tables["own_secrets"]
ENDED_SESSIONS = SQLModel.metadata.tables["ended_sessions"]
