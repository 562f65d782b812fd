"""Why a job runs where it runs."""

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from api.http.bodies import JobIdText, NodeIdText, Time
from cluster.clock import iso_utc
from cluster.messages.placements import Placed, Placement, RuledOut, Verdict


class Candidate(TypedDict):
    """What was made of one engine. Of those that nothing ruled out, the lowest score wins."""

    engine_id: str
    node_id: NodeIdText
    score: Annotated[int, Field(description="Tokens of work before it, and what failures weigh")]
    ruled_out_by: NotRequired[RuledOut]


class Attempt(TypedDict):
    """One time that the job was given to an engine."""

    attempt: Annotated[int, Field(ge=1)]
    node_id: NodeIdText
    engine_id: str
    placed_at: Time
    candidates: list[Candidate]


class JobPlacement(TypedDict):
    """Every attempt, the first one first, and, of a job that waits, what is made of the engines now."""

    id: JobIdText
    attempts: list[Attempt]
    waiting: NotRequired[list[Candidate]]


def placement_body(placement: Placement) -> JobPlacement:
    body: JobPlacement = {
        "id": placement.job_id,
        "attempts": [_attempt_body(placed) for placed in placement.attempts],
    }
    if placement.waiting is not None:
        body["waiting"] = [_candidate_body(verdict) for verdict in placement.waiting]
    return body


def _attempt_body(placed: Placed) -> Attempt:
    return {
        "attempt": placed.attempt,
        "node_id": placed.node_id,
        "engine_id": placed.engine_id,
        "placed_at": iso_utc(placed.placed_ms),
        "candidates": [_candidate_body(verdict) for verdict in placed.considered],
    }


def _candidate_body(verdict: Verdict) -> Candidate:
    body: Candidate = {"engine_id": verdict.engine_id, "node_id": verdict.node_id, "score": verdict.score}
    if verdict.ruled_out_by is not None:
        body["ruled_out_by"] = verdict.ruled_out_by
    return body
