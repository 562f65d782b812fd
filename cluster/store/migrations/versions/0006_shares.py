"""What accounts have had of models, how many jobs each may have waiting, and why jobs were moved.

Nobody has had anything, all may have any number waiting, and of what was moved before nobody knows why.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "shares",
        sa.Column("model", sa.String(), primary_key=True),
        sa.Column("account_id", sa.String(), primary_key=True),
        sa.Column("counter", sa.Double(), nullable=False),
    )
    op.add_column("accounts", sa.Column("max_queued", sa.Integer(), nullable=True))
    op.add_column("placements", sa.Column("moved_by", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("placements", "moved_by")
    op.drop_column("accounts", "max_queued")
    op.drop_table("shares")
