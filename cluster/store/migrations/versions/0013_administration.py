"""What admins have changed while the system runs."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


_FAILED = sa.text("error IS NOT NULL")
_HEARD = ("first_ms", "last_ms")
_INDEXES = {
    "jobs_by_time": [],
    "jobs_of_key": ["key_id"],
    "jobs_by_model": ["model"],
    "jobs_on_node": ["node_id"],
}
_INDEXES_OF_FAILED = {"jobs_failed": [], "jobs_by_error": ["error"]}


def upgrade() -> None:
    for name in _HEARD:
        op.add_column("placements", sa.Column(name, sa.BigInteger(), nullable=True))
    for name, columns in _INDEXES.items():
        op.create_index(name, "jobs", [*columns, "created_ms", "id"])
    for name, columns in _INDEXES_OF_FAILED.items():
        columns = [*columns, "created_ms", "id"]
        op.create_index(name, "jobs", columns, sqlite_where=_FAILED, postgresql_where=_FAILED)
    op.create_index("usage_by_end", "usage", ["ended_ms"])
    op.create_table(
        "model_settings",
        sa.Column("model", sa.String(), primary_key=True),
        *(sa.Column(name, sa.Integer(), nullable=True) for name in ("min", "max", "idle_s")),
        sa.Column("restarts", sa.Integer(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("model_settings")
    op.drop_index("usage_by_end", "usage")
    for name in (*_INDEXES, *_INDEXES_OF_FAILED):
        op.drop_index(name, "jobs")
    for name in _HEARD:
        op.drop_column("placements", name)
