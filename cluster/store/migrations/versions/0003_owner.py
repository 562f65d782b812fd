"""Who owns the database: one row, whose number every write asks for."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    owner = op.create_table(
        "owner",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("taken_ms", sa.BigInteger(), nullable=False),
        sa.Column("touched_ms", sa.BigInteger(), nullable=False),
    )
    op.bulk_insert(owner, [{"id": 1, "epoch": 0, "taken_ms": 0, "touched_ms": 0}])


def downgrade() -> None:
    op.drop_table("owner")
