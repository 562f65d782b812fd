"""Adapters that admins add to models while the system runs."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "adapters",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("added_ms", sa.BigInteger(), primary_key=True),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("prompt_price", sa.Double(), nullable=True),
        sa.Column("completion_price", sa.Double(), nullable=True),
        sa.Column("removed_ms", sa.BigInteger(), nullable=True),
    )


def downgrade() -> None:
    op.drop_table("adapters")
