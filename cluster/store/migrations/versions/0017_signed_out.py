"""Sessions that have been signed out."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ended_sessions",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
    )
    op.create_index("ended_sessions_by_time", "ended_sessions", ["until_ms"])


def downgrade() -> None:
    op.drop_table("ended_sessions")
