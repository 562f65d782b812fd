"""Secrets that the system made for itself, such as the one by which sessions of the dashboard are signed."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "own_secrets",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("secret", sa.String(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("own_secrets")
