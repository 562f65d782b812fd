"""Every process of a system is killed at once, with jobs that run and jobs that wait; it goes on where it was."""

import sqlite3
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from api.cli.run import runs
from tests.chaos.streams import MODEL, SETTINGS, TOKENS, exact
from tests.support.serving import Serving, in_parallel

RUNNING, WAITING = 8, 12
SLOW = {"token_s": 0.1, "batch_slots": RUNNING, "vary_by_attempt": False}


@pytest.mark.long
@pytest.mark.timeout(400)  # two starts of a whole system
def test_all_is_killed_and_started_again_with_jobs_running_and_waiting(tmp_path: Path) -> None:
    (model,) = SETTINGS["models"]  # type: ignore[misc]
    settings = {
        **SETTINGS,
        # What all processes had is gone with them: only a model that draws the same again can have the same text.
        "models": [{**model, "replicas": 1, "engine": {**model["engine"], **SLOW}}],
    }
    questions = [f"question {number}" for number in range(RUNNING + WAITING)]
    first = Serving(tmp_path, settings)
    try:
        first.wait_until_ready(MODEL)
        with first.client() as client:
            ids = [client.submit(_body(question))["id"] for question in questions]
            beginning = [next(client.follow(job_id)) for job_id in ids[:RUNNING]]
        _kill_everything(first)
    finally:
        first.end()
    second = Serving(tmp_path, settings, port=first.port)
    try:
        second.wait_until_ready(MODEL)
        texts = in_parallel([lambda job_id=job_id: _whole(second, job_id) for job_id in ids])
        assert texts == [exact(question) for question in questions]
        assert all(text.startswith(heard) for text, heard in zip(texts, beginning, strict=False))
        with closing(sqlite3.connect(second.state / "infernet.db")) as database:
            billed = database.execute("SELECT job_id, completion_tokens FROM usage").fetchall()
        assert sorted(billed) == sorted((job_id, TOKENS) for job_id in ids)
        assert second.stop() == 0
    finally:
        second.end()


def _body(question: str) -> dict[str, object]:
    return {"model": MODEL, "messages": [{"role": "user", "content": question}]}


def _whole(serving: Serving, job_id: str) -> str:
    with serving.client() as client:
        return "".join(client.follow(job_id))


def _kill_everything(serving: Serving) -> None:
    """What a power failure does, as far as it can be done without one."""
    processes = [*runs.processes(serving.run), psutil.Process(serving.process.pid)]
    for process in processes:
        process.suspend()
    for process in processes:
        process.kill()
    psutil.wait_procs(processes)
