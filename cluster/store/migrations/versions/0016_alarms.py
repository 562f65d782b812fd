"""What the courier remembers of endpoints, and the scheduler of what it has told of nodes and models."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_TIMES = ("failing_since_ms", "failed_ms", "disabled_ms")


def upgrade() -> None:
    op.create_table(
        "online_nodes",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
    )
    op.create_table(
        "failed_models",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("make", sa.String(), nullable=False),
    )
    for name in _TIMES:
        op.add_column("webhooks", sa.Column(name, sa.BigInteger(), nullable=True))


def downgrade() -> None:
    for name in reversed(_TIMES):
        op.drop_column("webhooks", name)
    op.drop_table("failed_models")
    op.drop_table("online_nodes")
