"""Endpoints, and what is on its way to them."""

from typing import ClassVar

from sqlalchemy import BigInteger, Index, Text, text
from sqlmodel import Field, SQLModel


class WebhookRow(SQLModel, table=True):
    """An endpoint that is told of events. `events` and `secrets` are JSON; the secrets are kept themselves: they sign.

    One that was removed stays until its deliveries have gone. Every attempt since `failing_since_ms` has failed, the
    last one at `failed_ms`.
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
    failing_since_ms: int | None = Field(default=None, sa_type=BigInteger)
    failed_ms: int | None = Field(default=None, sa_type=BigInteger)
    disabled_ms: int | None = Field(default=None, sa_type=BigInteger)

    __table_args__: ClassVar[tuple[Index, ...]] = (Index("webhooks_of_account", "account_id", "created_ms", "id"),)


WEBHOOKS = SQLModel.metadata.tables["webhooks"]


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


DELIVERIES = SQLModel.metadata.tables["deliveries"]
