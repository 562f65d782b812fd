"""The system's own: who owns the database, secrets that it made, and sessions that were ended."""

from typing import ClassVar

from sqlalchemy import BigInteger, Index
from sqlmodel import Field, SQLModel


class OwnerRow(SQLModel, table=True):
    """The one row that says which system owns the database: the one that was given the number `epoch`.

    `touched_ms` is when one last made sure that it can write.
    """

    __tablename__ = "owner"

    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    epoch: int = Field(sa_type=BigInteger)
    taken_ms: int = Field(sa_type=BigInteger)
    touched_ms: int = Field(sa_type=BigInteger)


OWNER = SQLModel.metadata.tables["owner"]


class OwnSecretRow(SQLModel, table=True):
    """A secret that the system made for itself, and that all its processes share."""

    __tablename__ = "own_secrets"

    name: str = Field(primary_key=True)
    secret: str


OWN_SECRETS = SQLModel.metadata.tables["own_secrets"]


class EndedSessionRow(SQLModel, table=True):
    """A session of the dashboard that was ended before its time, which is over at `until_ms`."""

    __tablename__ = "ended_sessions"

    id: str = Field(primary_key=True)
    until_ms: int = Field(sa_type=BigInteger)

    __table_args__: ClassVar[tuple[Index, ...]] = (Index("ended_sessions_by_time", "until_ms"),)


ENDED_SESSIONS = SQLModel.metadata.tables["ended_sessions"]
