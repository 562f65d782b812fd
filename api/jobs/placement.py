"""Why a job runs where it runs."""

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from api.http.bodies import JobIdText, NodeIdText, Time
from api.jobs.reasons import why_placed, why_waiting
from cluster.clock import iso_utc
from cluster.messages.placements import Placed, Placement, RuledOut, Verdict


class Candidate(TypedDict):
    """What was made of one engine. Of those that nothing ruled out, the lowest score wins."""

    engine_id: str
    node_id: NodeIdText
    score: Annotated[int, Field(description="Tokens of work before it and what failures weigh, less `cached_tokens`")]
    cached_tokens: Annotated[int, Field(ge=0, description="Of the prompt's tokens, those expected in its cache")]
    ruled_out_by: NotRequired[RuledOut]


class Attempt(TypedDict):
    """One time that the job was given to an engine."""

    attempt: Annotated[int, Field(ge=1)]
    node_id: NodeIdText
    engine_id: str
    placed_at: Time
    reason: NotRequired[Annotated[str, Field(description="Why it was this engine, in words; once it is written down")]]
    cached_tokens: NotRequired[
        Annotated[int, Field(ge=0, description="Of the prompt's tokens, those found in its cache; of an ended job")]
    ]
    passed: Annotated[int, Field(ge=0, description="How many earlier jobs of its account it went before")]
    candidates: list[Candidate]


class JobPlacement(TypedDict):
    """Every attempt, the first one first, and, of a job that waits, what is made of the engines now."""

    id: JobIdText
    attempts: list[Attempt]
    reason: NotRequired[Annotated[str, Field(description="Why it waits, in words")]]
    waiting: NotRequired[list[Candidate]]


def placement_body(placement: Placement) -> JobPlacement:
    body: JobPlacement = {
        "id": placement.job_id,
        "attempts": [_attempt_body(placed) for placed in placement.attempts],
    }
    if placement.waiting is not None:
        body["reason"] = why_waiting(placement.waiting)
        body["waiting"] = [_candidate_body(verdict) for verdict in placement.waiting]
    return body


def _attempt_body(placed: Placed) -> Attempt:
    body: Attempt = {
        "attempt": placed.attempt,
        "node_id": placed.node_id,
        "engine_id": placed.engine_id,
        "placed_at": iso_utc(placed.placed_ms),
        "passed": placed.passed,
        "candidates": [_candidate_body(verdict) for verdict in placed.considered],
    }
    if placed.considered:
        body["reason"] = why_placed(placed)
    if placed.cached_tokens is not None:
        body["cached_tokens"] = placed.cached_tokens
    return body


def _candidate_body(verdict: Verdict) -> Candidate:
    body: Candidate = {
        "engine_id": verdict.engine_id,
        "node_id": verdict.node_id,
        "score": verdict.score,
        "cached_tokens": verdict.cached_tokens,
    }
    if verdict.ruled_out_by is not None:
        body["ruled_out_by"] = verdict.ruled_out_by
    return body
