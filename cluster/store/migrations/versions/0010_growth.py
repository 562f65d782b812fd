"""What was used on each day, added up; and by which rows that are to be removed are found."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_HAS_ENDED = sa.text("ended_ms IS NOT NULL")
_FILL = """
INSERT INTO usage_days (account_id, day, key_id, model, jobs, prompt_tokens, completion_tokens, cost)
SELECT account_id, ended_ms / 86400000, key_id, model,
       count(*), sum(prompt_tokens), sum(completion_tokens), sum(cost)
FROM usage
GROUP BY account_id, ended_ms / 86400000, key_id, model
"""


def upgrade() -> None:
    op.create_table(
        "usage_days",
        sa.Column("account_id", sa.String(), sa.ForeignKey("accounts.id"), primary_key=True),
        sa.Column("day", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("key_id", sa.String(), sa.ForeignKey("api_keys.id"), primary_key=True),
        sa.Column("model", sa.String(), primary_key=True),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("jobs", "prompt_tokens", "completion_tokens", "cost")
        ),
    )
    op.execute(_FILL)
    op.create_index("jobs_by_end", "jobs", ["ended_ms"], sqlite_where=_HAS_ENDED, postgresql_where=_HAS_ENDED)
    op.create_index("idempotency_of_job", "idempotency", ["job_id"])


def downgrade() -> None:
    op.drop_index("idempotency_of_job", "idempotency")
    op.drop_index("jobs_by_end", "jobs")
    op.drop_table("usage_days")
