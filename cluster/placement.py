"""Which engine a job goes to: filter, score, choose. Pure, and able to say why.

`choose` tells the whole story, for a client who asks; `best` only its end, for every job. Both ask the same
two rules, `ruled_out_by` and `score`.
"""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from cluster.ids import EngineId, NodeId
from cluster.messages import Job

Reason = Literal["offline", "serves another model", "draining", "no room", "not the pinned node"]

# An engine that fails at once always has the least to do: unless each failure outweighs a good deal of work
# elsewhere, it attracts every job.
FAILURE_COST_TOKENS = 10_000

_CHARACTERS_PER_TOKEN = 4


class Candidate(Struct, frozen=True):
    """An engine as the Scheduler sees it. `outstanding_tokens` is the work given to it and not yet done."""

    engine_id: EngineId
    node_id: NodeId
    model: str
    online: bool
    draining: bool
    running: int
    slots: int
    outstanding_tokens: int
    recent_failures: int


class Verdict(Struct, frozen=True):
    """What was made of one candidate. The lower `score` wins, of those that nothing ruled out."""

    engine_id: EngineId
    ruled_out_by: Reason | None
    score: int


class Placement(Struct, frozen=True):
    """The engine chosen, if any, and what was made of every candidate."""

    engine_id: EngineId | None
    considered: tuple[Verdict, ...]


def choose(model: str, pin: NodeId | None, candidates: Iterable[Candidate]) -> Placement:
    """The least loaded engine that can take the job now, and why the others were not chosen."""
    considered = tuple(
        Verdict(candidate.engine_id, ruled_out_by(candidate, model, pin), score(candidate)) for candidate in candidates
    )
    left = (verdict for verdict in considered if verdict.ruled_out_by is None)
    chosen = min(left, key=lambda verdict: (verdict.score, verdict.engine_id), default=None)
    return Placement(chosen.engine_id if chosen else None, considered)


def best(model: str, pin: NodeId | None, candidates: Iterable[Candidate]) -> EngineId | None:
    """The engine that `choose` would choose, without the reasons."""
    left = (candidate for candidate in candidates if ruled_out_by(candidate, model, pin) is None)
    chosen = min(left, key=lambda candidate: (score(candidate), candidate.engine_id), default=None)
    return chosen.engine_id if chosen else None


def ruled_out_by(candidate: Candidate, model: str, pin: NodeId | None) -> Reason | None:
    """The first reason why this engine cannot take a job of `model`, pinned to node `pin`, now."""
    if not candidate.online:
        return "offline"
    if candidate.model != model:
        return "serves another model"
    if candidate.draining:
        return "draining"
    if candidate.running >= candidate.slots:
        return "no room"
    if pin is not None and candidate.node_id != pin:
        return "not the pinned node"
    return None


def score(candidate: Candidate) -> int:
    """How busy the engine is, in tokens; the lower the better."""
    return candidate.outstanding_tokens + candidate.recent_failures * FAILURE_COST_TOKENS


def estimate_tokens(job: Job) -> int:
    """About how many tokens of work the job is, prompt and answer: known before it has been tokenised."""
    characters = sum(len(message.content) for message in job.messages)
    return characters // _CHARACTERS_PER_TOKEN + job.sampling.max_tokens
