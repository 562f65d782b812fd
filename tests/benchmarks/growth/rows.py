"""Ended jobs in bulk, as the Ledger would have written them one by one: their rows are made by the database itself."""

import json
from pathlib import Path

from sqlalchemy import create_engine, text

from cluster.store.usage_days import DAY_MS
from tests.support import ledger_stage
from tests.support.ledger_stage import OUR_KEY, OURS, THEIR_KEY, THEIRS, Place, url

DAYS = 365
MODELS = 5
PROMPT_CHARACTERS = 600
TEXT_CHARACTERS = 800
AT_ONCE = 100_000

_SQLITE = {
    "numbers": "(WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last) SELECT i FROM n)",
    "random_id": "lower(hex(randomblob(10)))",
}
_POSTGRESQL = {
    "numbers": "(SELECT i FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS s(i))",
    "random_id": "substr(md5(random()::text), 1, 20)",
}
_REQUEST = {
    "messages": [{"role": "user", "content": "p" * PROMPT_CHARACTERS}],
    "sampling": {"max_tokens": 200},
    "prompt_tokens": 150,
}
_CONSIDERED = [
    {"engine_id": f"model/{n}", "node_id": f"node_{n}", "ruled_out_by": None, "score": 120} for n in range(2)
]
_TEXTS = {
    "request": json.dumps(_REQUEST),
    "labels": json.dumps({"trace": "0123456789abcdef"}),
    "content": b"t" * TEXT_CHARACTERS,
}
# Nine of ten jobs are ours, and one of fifty failed. They are spread over the days as they were made. One of the models
# ran on one node alone, the others on both, and one of five thousand jobs on a third.
_JOBS = """
INSERT INTO jobs (id, account_id, key_id, model, state, request, labels, created_ms, deadline_ms, prompt_rate,
                  completion_rate, node_id, engine_id, attempt, placed_ms, content, finish_reason, error, error_message,
                  prompt_tokens, completion_tokens, ended_ms, epoch)
SELECT 'job_' || {random_id}, CASE WHEN i % 10 = 0 THEN '{theirs}' ELSE '{ours}' END,
       CASE WHEN i % 10 = 0 THEN '{their_key}' ELSE '{our_key}' END, 'model' || (i % {models}),
       CASE WHEN i % 50 = 7 THEN 'failed' ELSE 'completed' END, :request,
       :labels, at_ms, at_ms + 300000, 1, 2,
       CASE WHEN i % 5000 = 3 THEN 'node_2' WHEN i % {models} = 4 OR i % 3 = 0 THEN 'node_1' ELSE 'node_0' END,
       'model/0', 1, at_ms + 50, :content,
       CASE WHEN i % 50 = 7 THEN NULL ELSE 'stop' END,
       CASE WHEN i % 10000 = 7 THEN 'no_capacity' WHEN i % 100 = 7 THEN 'timeout'
            WHEN i % 50 = 7 THEN 'engine_error' END,
       CASE WHEN i % 50 = 7 THEN 'It failed' END, 150, 200, at_ms + 2000, 1
FROM (SELECT i, :begin + i * :step AS at_ms FROM {numbers} AS numbers) AS moments
"""
_PLACEMENTS = """
INSERT INTO placements (job_id, attempt, node_id, engine_id, placed_ms, considered, passed)
SELECT id, 1, node_id, engine_id, placed_ms, :considered, 0 FROM jobs
"""
_USAGE = """
INSERT INTO usage (job_id, account_id, key_id, model, prompt_tokens, completion_tokens, cost, ended_ms)
SELECT id, account_id, key_id, model, prompt_tokens, completion_tokens, 550, ended_ms FROM jobs
"""
_DAYS = f"""
INSERT INTO usage_days (account_id, day, key_id, model, jobs, prompt_tokens, completion_tokens, cost)
SELECT account_id, ended_ms / {DAY_MS}, key_id, model, count(*), sum(prompt_tokens), sum(completion_tokens), sum(cost)
FROM usage GROUP BY 1, 2, 3, 4
"""


def fill(place: Place, jobs: int, now_ms: int) -> None:
    """Makes a database with two accounts and so many ended jobs, of the last year."""
    ledger_stage.prepare(place)
    engine = create_engine(url(place))
    words = _SQLITE if isinstance(place, Path) else _POSTGRESQL
    names = {"ours": OURS, "theirs": THEIRS, "our_key": OUR_KEY, "their_key": THEIR_KEY, "models": MODELS}
    spread = {"begin": now_ms - DAYS * DAY_MS, "step": (DAYS * DAY_MS - 60_000) // jobs}
    for first in range(0, jobs, AT_ONCE):
        with engine.begin() as connection:
            last = min(first + AT_ONCE, jobs) - 1
            connection.execute(text(_JOBS.format(**words, **names)), {"first": first, "last": last} | spread | _TEXTS)
    for statement, values in ((_PLACEMENTS, {"considered": json.dumps(_CONSIDERED)}), (_USAGE, {}), (_DAYS, {})):
        with engine.begin() as connection:
            connection.execute(text(statement), values)
    if not isinstance(place, Path):  # a server does so by itself, after a while
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
            connection.execute(text("CHECKPOINT"))
    engine.dispose()
