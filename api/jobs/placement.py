"""Why a job runs where it runs."""

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from api.http.bodies import JobIdText, NodeIdText, Time
from api.jobs.reasons import why_placed, why_waiting
from cluster.clock import iso_utc
from cluster.messages.explanations import Explanation, Stage, Standing
from cluster.messages.explanations import Turn as TurnNow
from cluster.messages.machines import ModelState, ModelView
from cluster.messages.placements import MovedBy, Placed, RuledOut, Verdict
from cluster.messages.work import Priority


class Candidate(TypedDict):
    """What was made of one engine. Of those that nothing ruled out, the lowest score wins."""

    engine_id: str
    node_id: NodeIdText
    score: Annotated[int, Field(description="Tokens of work before it and what failures weigh, less what it has")]
    cached_tokens: Annotated[int, Field(ge=0, description="Of the prompt's tokens, those expected in its cache")]
    has_adapter: NotRequired[Annotated[bool, Field(description="Told where it has the job's adapter loaded")]]
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
    moved_by: NotRequired[Annotated[MovedBy, Field(description="Why it had lost the engine before")]]


class Turn(TypedDict):
    """Whose turn it is where a job waits. Jobs that lost their engine come first, then accounts take turns.

    Shares are what accounts have had of the model while others waited: a token of a prompt counts one, one of an answer
    two, divided by the account's weight. The account with the least is next.
    """

    priority: Priority
    resumes: Annotated[bool, Field(description="It has lost its engine, and comes before those that have not begun")]
    resumed_jobs_before: Annotated[int, Field(ge=0)]
    accounts_before: Annotated[int, Field(ge=0, description="Accounts that have had less")]
    own_jobs_before: Annotated[int, Field(ge=0)]
    share: Annotated[float, Field(ge=0)]
    least_share: Annotated[float, Field(ge=0)]
    weight: Annotated[int, Field(ge=1)]


class ModelNow(TypedDict):
    """The job's model."""

    id: str
    state: ModelState
    replicas: Annotated[int, Field(ge=0)]
    queued: Annotated[int, Field(ge=0, description="Jobs that wait for an engine")]
    wanted: Annotated[int, Field(ge=0, description="Replicas that there are to be")]
    scaling: Annotated[str, Field(description="Why so many are wanted, with the numbers")]
    starting: NotRequired[Annotated[str, Field(description="What the replica waits for that will be ready first")]]
    state_message: NotRequired[Annotated[str, Field(description="Why it failed, or does not fit")]]


class JobPlacement(TypedDict):
    """Every attempt, the first one first, and how a job stands now that has not ended.

    Of one that waits: whose turn it is, and what is made of the engines.
    """

    id: JobIdText
    attempts: list[Attempt]
    stage: NotRequired[Stage]
    model: NotRequired[ModelNow]
    turn: NotRequired[Turn]
    reason: NotRequired[Annotated[str, Field(description="Why it waits, in words")]]
    waiting: NotRequired[list[Candidate]]
    pinned_to: NotRequired[NodeIdText]
    suspect: NotRequired[Annotated[bool, Field(description="Engines died under it: it runs beside no other such job")]]


def placement_body(explanation: Explanation) -> JobPlacement:
    body: JobPlacement = {
        "id": explanation.job_id,
        "attempts": [_attempt_body(placed) for placed in explanation.attempts],
    }
    if explanation.standing is not None:
        _add_standing(body, explanation.standing)
    return body


def _add_standing(body: JobPlacement, standing: Standing) -> None:
    body["stage"] = standing.stage
    if standing.model is not None:
        body["model"] = _model_body(standing.model)
    if standing.turn is not None:
        body["turn"] = _turn_body(standing.turn)
        body["reason"] = why_waiting(standing.verdicts, standing.model.starting if standing.model else "")
        body["waiting"] = [_candidate_body(verdict) for verdict in standing.verdicts]
        body["suspect"] = standing.suspect
    if standing.node_id is not None:
        body["pinned_to"] = standing.node_id


def _turn_body(turn: TurnNow) -> Turn:
    return {
        "priority": turn.priority,
        "resumes": turn.resumes,
        "resumed_jobs_before": turn.resumed_before,
        "accounts_before": turn.accounts_before,
        "own_jobs_before": turn.own_before,
        "share": round(turn.share, 1),
        "least_share": round(turn.least_share, 1),
        "weight": turn.weight,
    }


def _model_body(view: ModelView) -> ModelNow:
    body: ModelNow = {
        "id": view.id,
        "state": view.state,
        "replicas": view.replicas,
        "queued": view.queued,
        "wanted": view.wanted,
        "scaling": view.scaling,
    }
    if view.starting:
        body["starting"] = view.starting
    if view.message:
        body["state_message"] = view.message
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
    if placed.moved_by is not None:
        body["moved_by"] = placed.moved_by
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
    if verdict.has_adapter:
        body["has_adapter"] = True
    if verdict.ruled_out_by is not None:
        body["ruled_out_by"] = verdict.ruled_out_by
    return body
