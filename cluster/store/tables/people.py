"""Accounts and their keys."""

from sqlalchemy import BigInteger, Text
from sqlmodel import Field, SQLModel


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


ACCOUNTS = SQLModel.metadata.tables["accounts"]


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


KEYS = SQLModel.metadata.tables["api_keys"]
