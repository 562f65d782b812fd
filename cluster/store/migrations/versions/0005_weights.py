"""How large a share of a model an account has, beside the others that want it.

All have had the same so far.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("weight", sa.Integer(), nullable=False, server_default="1"))


def downgrade() -> None:
    op.drop_column("accounts", "weight")
