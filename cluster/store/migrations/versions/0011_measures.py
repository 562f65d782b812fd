"""What happened of each minute, added up, and counters that outlive whoever counts."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("operation", sa.String(), nullable=False, server_default="chat"))
    op.create_index("usage_days_by_day", "usage_days", ["day"])
    op.create_table(
        "measures",
        sa.Column("model", sa.String(), primary_key=True),
        sa.Column("operation", sa.String(), primary_key=True),
        sa.Column("sums", sa.Text(), nullable=False),
    )
    op.create_table(
        "measure_minutes",
        sa.Column("minute", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("model", sa.String(), primary_key=True),
        sa.Column("operation", sa.String(), primary_key=True),
        sa.Column("sums", sa.Text(), nullable=False),
    )
    op.create_table(
        "tallies",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("labels", sa.String(), primary_key=True),
        sa.Column("value", sa.Double(), nullable=False),
    )
    op.create_table(
        "tally_sources",
        sa.Column("source", sa.String(), primary_key=True),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("told_ms", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    for table in ("tally_sources", "tallies", "measure_minutes", "measures"):
        op.drop_table(table)
    op.drop_index("usage_days_by_day", "usage_days")
    op.drop_column("jobs", "operation")
