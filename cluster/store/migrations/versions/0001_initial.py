"""Accounts, keys, jobs and usage."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_accounts()
    _create_api_keys()
    _create_jobs()
    _create_usage()


def downgrade() -> None:
    for table in ("usage", "jobs", "api_keys", "accounts"):
        op.drop_table(table)


def _create_accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
    )


def _create_api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("account_id", sa.String(), sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("key_hash", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger()),
        sa.Column("revoked_ms", sa.BigInteger()),
        sa.Column("limits", sa.Text()),
        sa.UniqueConstraint("key_hash"),
    )
    op.create_index("ix_api_keys_account_id", "api_keys", ["account_id"])


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("account_id", sa.String(), sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("key_id", sa.String(), sa.ForeignKey("api_keys.id"), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("deadline_ms", sa.BigInteger(), nullable=False),
        sa.Column("pin", sa.String()),
        sa.Column("node_id", sa.String()),
        sa.Column("engine_id", sa.String()),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("placed_ms", sa.BigInteger()),
        sa.Column("content", sa.LargeBinary()),
        sa.Column("finish_reason", sa.String()),
        sa.Column("prompt_tokens", sa.Integer()),
        sa.Column("completion_tokens", sa.Integer()),
        sa.Column("error", sa.String()),
        sa.Column("error_message", sa.Text()),
        sa.Column("ended_ms", sa.BigInteger()),
    )
    op.create_index("jobs_of_account", "jobs", ["account_id", "created_ms", "id"])
    op.create_index("jobs_of_account_by_state", "jobs", ["account_id", "state", "created_ms", "id"])
    op.create_index("jobs_of_model", "jobs", ["model", "state", "ended_ms"])
    op.create_index("jobs_by_time", "jobs", ["created_ms", "key_id"])
    is_open = sa.text("ended_ms IS NULL")
    op.create_index("jobs_open", "jobs", ["created_ms", "id"], sqlite_where=is_open, postgresql_where=is_open)


def _create_usage() -> None:
    op.create_table(
        "usage",
        sa.Column("job_id", sa.String(), primary_key=True),
        sa.Column("account_id", sa.String(), sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("key_id", sa.String(), sa.ForeignKey("api_keys.id"), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("prompt_tokens", sa.Integer(), nullable=False),
        sa.Column("completion_tokens", sa.Integer(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=False),
    )
    op.create_index("usage_of_account", "usage", ["account_id", "ended_ms"])
