"""Endpoints that are told of events, and what they are still to be told."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_WAITS = sa.text("next_ms IS NOT NULL")
_HAS_ENDED = sa.text("ended_ms IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("account_id", sa.String(), sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.Column("secrets", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("disabled_by", sa.String(), nullable=True),
        sa.Column("removed_ms", sa.BigInteger(), nullable=True),
    )
    op.create_index("webhooks_of_account", "webhooks", ["account_id", "created_ms", "id"])
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("webhook_id", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("begun_ms", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("problem", sa.String(), nullable=True),
        sa.Column("next_ms", sa.BigInteger(), nullable=True),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
    )
    op.create_index("deliveries_of_webhook", "deliveries", ["webhook_id", "created_ms", "id"])
    op.create_index("deliveries_by_status", "deliveries", ["webhook_id", "status", "created_ms", "id"])
    op.create_index(
        "deliveries_due", "deliveries", ["webhook_id", "next_ms"], sqlite_where=_WAITS, postgresql_where=_WAITS
    )
    op.create_index(
        "deliveries_by_end", "deliveries", ["ended_ms"], sqlite_where=_HAS_ENDED, postgresql_where=_HAS_ENDED
    )
    op.add_column("budgets", sa.Column("told", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("webhook_id", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "webhook_id")
    op.drop_column("budgets", "told")
    op.drop_table("deliveries")
    op.drop_table("webhooks")
