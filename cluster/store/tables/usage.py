"""What jobs have used, and what they may: usage, its daily sums, budgets."""

from typing import ClassVar

from sqlalchemy import BigInteger, Index
from sqlmodel import Field, SQLModel

from cluster.store.tables.columns import NOTHING


class UsageRow(SQLModel, table=True):
    """What an ended job consumed: one row per job. It refers to no job row, because it outlives it."""

    __tablename__ = "usage"

    job_id: str = Field(primary_key=True)
    account_id: str = Field(foreign_key="accounts.id")
    key_id: str = Field(foreign_key="api_keys.id")
    model: str
    prompt_tokens: int
    completion_tokens: int
    cost: int = Field(sa_type=BigInteger, sa_column_kwargs=NOTHING)
    ended_ms: int = Field(sa_type=BigInteger)

    __table_args__: ClassVar[tuple[Index, ...]] = (
        Index("usage_of_account", "account_id", "ended_ms"),
        Index("usage_by_end", "ended_ms"),
    )


USAGE = SQLModel.metadata.tables["usage"]


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


USAGE_DAYS = SQLModel.metadata.tables["usage_days"]


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
    told: int = Field(default=0, sa_column_kwargs=NOTHING)


BUDGETS = SQLModel.metadata.tables["budgets"]


class ReservationRow(SQLModel, table=True):
    """What a job that has not ended holds of a budget, whatever the rule was by which it was reckoned."""

    __tablename__ = "reservations"

    job_id: str = Field(primary_key=True, foreign_key="jobs.id")
    owner_id: str = Field(primary_key=True, foreign_key="budgets.owner_id")
    amount: int = Field(sa_type=BigInteger)


RESERVATIONS = SQLModel.metadata.tables["reservations"]
