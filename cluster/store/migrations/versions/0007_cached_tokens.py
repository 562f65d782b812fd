"""How much of its prompt an attempt found in its engine's cache, and how many jobs of its account it passed.

Of those made before, nobody has told the former, and they passed none.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("placements", sa.Column("cached_tokens", sa.Integer(), nullable=True))
    op.add_column("placements", sa.Column("passed", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("placements", "passed")
    op.drop_column("placements", "cached_tokens")
