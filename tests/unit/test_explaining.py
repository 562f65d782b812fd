"""What `infernet explain` says, from what the API tells."""

from datetime import UTC, datetime
from typing import Any

import pytest

from api.cli.explaining import sentences

NOW = datetime(2026, 4, 30, 14, 23, 53, tzinfo=UTC)
PENDING: dict[str, Any] = {"id": "job_1", "status": "pending", "model": "m", "created_at": "2026-04-30T14:23:41Z"}
COMPLETED = {**PENDING, "status": "completed", "node_id": "node_a", "latency_ms": 2041}
FAILED = {**PENDING, "status": "failed", "error": "timeout", "error_message": "The job did not end in time"}
MODEL = {"id": "m", "state": "ready", "replicas": 1, "queued": 5, "wanted": 2, "scaling": "2 replicas: 9 jobs"}
TURN: dict[str, Any] = {
    "priority": "normal",
    "resumes": False,
    "resumed_jobs_before": 0,
    "accounts_before": 0,
    "own_jobs_before": 0,
    "share": 0.0,
    "least_share": 0.0,
    "weight": 1,
}
FREE = {"engine_id": "m/0", "node_id": "node_a", "score": 1200}
FULL = {"engine_id": "m/1", "node_id": "node_b", "score": 5, "ruled_out_by": "no room"}


def attempt(number: int = 1, *candidates: dict[str, Any], **fields: Any) -> dict[str, Any]:
    placed = {"engine_id": "m/0", "node_id": "node_a", "placed_at": "2026-04-30T14:23:42Z"}
    return {"attempt": number, **placed, "candidates": list(candidates), **fields}


def said(job: dict[str, Any] = PENDING, *attempts: dict[str, Any], **placement: Any) -> list[str]:
    return sentences(job, {"id": "job_1", "attempts": list(attempts), **placement}, NOW)


def waiting(**turn: Any) -> list[str]:
    return said(stage="waiting", turn={**TURN, **turn})[1:]


def test_a_job_that_waits() -> None:
    assert said(stage="waiting", turn=TURN, model=MODEL, waiting=[{**FREE, "ruled_out_by": "no room"}, FULL]) == [
        "Job job_1 of model m waits, 12 s after it was submitted.",
        "It is your account's turn: no other that waits has had less of this model.",
        "It is the first of your own jobs; its priority is normal.",
        "Model m is ready: 1 replica ready, 2 wanted, 5 jobs wait.",
        "Why so many are wanted: 2 replicas: 9 jobs.",
        "2 engines (m/0, m/1) are full.",
    ]


def test_a_job_that_waits_for_its_model_to_start() -> None:
    model = {**MODEL, "state": "starting", "replicas": 0, "starting": "waits for a machine, for 30 s now"}
    assert "How far its start is: waits for a machine, for 30 s now." in said(stage="waiting", model=model)


def test_other_accounts_are_numbers() -> None:
    assert waiting(accounts_before=3, share=1240.4, least_share=200.0, own_jobs_before=4, priority="low") == [
        "3 accounts are before yours, which has had more of this model while others waited: 1,240 tokens, and the "
        "least of those that wait 200. A token of an answer counts twice.",
        "4 jobs of your own come before it; its priority is low.",
    ]
    assert waiting(accounts_before=1, share=30.0, least_share=0.0, own_jobs_before=1, weight=2) == [
        "1 account is before yours, which has had more of this model while others waited: 30 tokens, divided by your "
        "weight of 2, and the least of those that wait 0. A token of an answer counts twice.",
        "1 job of your own comes before it; its priority is normal.",
    ]


def test_jobs_that_lost_their_engine_come_first() -> None:
    assert waiting(resumed_jobs_before=1)[0] == "1 job that lost its engine goes on before it."
    assert waiting(resumed_jobs_before=2)[0] == "2 jobs that lost their engine go on before it."
    resumes = "It has lost its engine, and goes on before jobs that have not begun: "
    assert waiting(resumes=True) == [f"{resumes}it is the next of them."]
    assert waiting(resumes=True, resumed_jobs_before=1) == [f"{resumes}1 other such job before it."]


def test_what_a_job_is_kept_to() -> None:
    assert said(pinned_to="node_b", suspect=True)[1:] == [
        "It may run on node node_b only.",
        "Engines died under it: it is given to one that runs no other such job.",
    ]
    assert said(suspect=False)[1:] == []


def test_what_a_model_says_that_does_not_start() -> None:
    model = {**MODEL, "state": "failed", "replicas": 0, "queued": 1, "state_message": "No machine has 8 GPUs"}
    assert said(model=model)[1:] == [
        "Model m is failed: 0 replicas ready, 2 wanted, 1 job waits.",
        "Why so many are wanted: 2 replicas: 9 jobs.",
        "What it says: No machine has 8 GPUs",
    ]
    assert said(waiting=[])[1:] == ["There is no engine of this model yet."]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("offline", "on a machine that is offline"),
        ("draining", "on a machine that is being drained, or about to end"),
        ("not ready", "not ready yet"),
        ("cannot be reached", "out of reach"),
        ("no room", "full"),
        ("not the pinned node", "not on the node that the job is pinned to"),
        ("has a suspect", "busy with another job that engines died under"),
        ("of a later version", "of a later version"),
    ],
)
def test_what_rules_an_engine_out(reason: str, words: str) -> None:
    assert said(waiting=[{**FREE, "ruled_out_by": reason}])[1:] == [f"Engine m/0 is {words}."]


def test_many_engines_are_told_of_by_what_rules_them_out() -> None:
    candidates = [{**FULL, "engine_id": f"m/{number}"} for number in range(6)]
    assert said(waiting=[*candidates, FREE])[1:] == [
        "6 engines (m/0, m/1, m/2, m/3 and 2 more) are full.",
        "Engine m/0 is free to take the next job.",
    ]


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("being accepted", "It is being written down, and waits for an engine once that is done."),
        ("moving", "It has lost its engine, and is about to go on at another."),
        ("looked for", "The scheduler has been restarted: whether an engine has the job is not known yet."),
        ("ending", "It is about to end."),
    ],
)
def test_where_a_job_is_that_neither_waits_nor_runs(stage: str, words: str) -> None:
    processing = {**PENDING, "status": "processing", "node_id": "node_a"}
    for job in (PENDING, processing):
        assert said(job, stage=stage) == ["Job job_1 of model m waits, 12 s after it was submitted.", words]


def test_a_job_that_runs() -> None:
    processing = {**PENDING, "status": "processing", "node_id": "node_a"}
    head = "Job job_1 of model m is being worked on at node node_a, 12 s after it was submitted."
    assert said(processing, stage="with an engine") == [head]
    assert said(processing) == [head]  # it has ended meanwhile


def test_a_job_that_ended_and_where_it_ran() -> None:
    first = attempt(1, FREE, {**FREE, "engine_id": "m/2"}, FULL)
    second = attempt(2, FREE, FULL, moved_by="engine died", engine_id="m/0")
    third = attempt(3, moved_by="of a later version", engine_id="m/3")
    went = "went to engine m/0 at node node_a, 2026-04-30T14:23:42Z"
    assert said(COMPLETED, first, second, third) == [
        "Job job_1 of model m was completed at node node_a, 2041 ms after it was submitted.",
        f"Attempt 1 {went}: the one of 2 that could take it with the least to do, 1,200 tokens of work before it.",
        f"Attempt 2 {went}, because its engine had died: the only one that could take it, with 1,200 tokens of work "
        "before it.",
        "Attempt 3 went to engine m/3 at node node_a, 2026-04-30T14:23:42Z, because of a later version.",
    ]


@pytest.mark.parametrize(
    ("moved_by", "words"),
    [
        ("engine died", "its engine had died"),
        ("node went silent", "nothing had been heard of its node any more"),
        ("engine cannot be reached", "its engine could not be reached"),
        ("order was lost", "its engine did not know of it"),
        ("engine retired", "its engine was one too many or of settings before, or its node was drained"),
        ("engine failed it", "its engine had failed before the first token"),
        ("nobody had it", "after a restart of the scheduler no engine had it"),
    ],
)
def test_what_moved_a_job(moved_by: str, words: str) -> None:
    assert said(COMPLETED, attempt(2, moved_by=moved_by))[1].endswith(f", because {words}.")


def test_a_job_that_failed() -> None:
    assert said(FAILED) == ["Job job_1 of model m failed: The job did not end in time (timeout)."]
