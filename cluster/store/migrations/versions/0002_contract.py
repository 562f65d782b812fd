"""Budgets, idempotency keys, placements, rate windows; prices, limits of accounts, models of keys.

What was accepted before has no price: it cost nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _widen_what_there_is()
    _create_budgets()
    _create_reservations()
    _create_idempotency()
    _create_rate_windows()
    _create_placements()


def downgrade() -> None:
    for table in ("placements", "rate_windows", "idempotency", "reservations", "budgets"):
        op.drop_table(table)
    op.create_index("jobs_by_time", "jobs", ["created_ms", "key_id"])
    for table, column in (
        ("usage", "cost"),
        ("jobs", "completion_rate"),
        ("jobs", "prompt_rate"),
        ("api_keys", "last_used_ms"),
        ("api_keys", "models"),
        ("accounts", "limits"),
    ):
        op.drop_column(table, column)


def _widen_what_there_is() -> None:
    op.add_column("accounts", sa.Column("limits", sa.Text()))
    op.add_column("api_keys", sa.Column("models", sa.Text()))
    op.add_column("api_keys", sa.Column("last_used_ms", sa.BigInteger()))
    for table, column in (("jobs", "prompt_rate"), ("jobs", "completion_rate"), ("usage", "cost")):
        op.add_column(table, sa.Column(column, sa.BigInteger(), nullable=False, server_default="0"))
    # It counted the submissions of a window, which the rate windows tell now.
    op.drop_index("jobs_by_time", "jobs")


def _create_budgets() -> None:
    op.create_table(
        "budgets",
        sa.Column("owner_id", sa.String(), primary_key=True),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("month", sa.Integer(), nullable=False),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
    )


def _create_reservations() -> None:
    op.create_table(
        "reservations",
        sa.Column("job_id", sa.String(), sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("owner_id", sa.String(), sa.ForeignKey("budgets.owner_id"), primary_key=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
    )


def _create_idempotency() -> None:
    op.create_table(
        "idempotency",
        sa.Column("account_id", sa.String(), sa.ForeignKey("accounts.id"), primary_key=True),
        sa.Column("key", sa.String(), primary_key=True),
        sa.Column("body_hash", sa.String(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
    )
    op.create_index("idempotency_by_time", "idempotency", ["created_ms"])


def _create_rate_windows() -> None:
    op.create_table(
        "rate_windows",
        sa.Column("key_id", sa.String(), primary_key=True),
        sa.Column("bucket", sa.String(), primary_key=True),
        sa.Column("length_s", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.Column("ends_s", sa.BigInteger(), nullable=False),
    )
    op.create_index("rate_windows_by_end", "rate_windows", ["ends_s"])


def _create_placements() -> None:
    op.create_table(
        "placements",
        sa.Column("job_id", sa.String(), sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("attempt", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("node_id", sa.String(), nullable=False),
        sa.Column("engine_id", sa.String(), nullable=False),
        sa.Column("placed_ms", sa.BigInteger(), nullable=False),
        sa.Column("considered", sa.Text(), nullable=False),
    )
