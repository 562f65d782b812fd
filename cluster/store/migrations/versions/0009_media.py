"""Pictures and sounds that jobs need: each once, and which open jobs need it."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "media",
        sa.Column("hash", sa.String(), primary_key=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("brought_ms", sa.BigInteger(), nullable=False),
    )
    op.create_index("media_by_time", "media", ["brought_ms"])
    op.create_table(
        "job_media",
        sa.Column("job_id", sa.String(), sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("hash", sa.String(), sa.ForeignKey("media.hash"), primary_key=True),
    )
    op.create_index("job_media_by_hash", "job_media", ["hash"])


def downgrade() -> None:
    op.drop_table("job_media")
    op.drop_table("media")
