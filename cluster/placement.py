"""Which engine a job goes to: filter, score, choose. Pure, and able to say why."""

from collections.abc import Iterable

from msgspec import Struct

from cluster.ids import EngineId, NodeId
from cluster.messages import Job, RuledOut, Verdict

# An engine that fails at once always has the least to do: unless each failure outweighs a good deal of work
# elsewhere, it attracts every job.
FAILURE_COST_TOKENS = 10_000

_CHARACTERS_PER_TOKEN = 4


class Candidate(Struct, frozen=True):
    """An engine as the Scheduler sees it. `outstanding_tokens` is the work given to it and not yet done."""

    engine_id: EngineId
    node_id: NodeId
    model: str
    ready: bool
    online: bool
    draining: bool
    running: int
    slots: int
    outstanding_tokens: int
    recent_failures: int


class Choice(Struct, frozen=True):
    """The engine chosen, if any, and what was made of every candidate, the best first."""

    engine_id: EngineId | None
    considered: tuple[Verdict, ...]


def choose(model: str, pin: NodeId | None, candidates: Iterable[Candidate]) -> Choice:
    """The least loaded engine that can take the job now, and why the others were not chosen."""
    considered = sorted((_verdict(candidate, model, pin) for candidate in candidates), key=_rank)
    fits = bool(considered) and considered[0].ruled_out_by is None
    return Choice(considered[0].engine_id if fits else None, tuple(considered))


def ruled_out_by(candidate: Candidate, model: str, pin: NodeId | None) -> RuledOut | None:
    """The first reason why this engine cannot take a job of `model`, pinned to node `pin`, now."""
    if not candidate.online:
        return "offline"
    if candidate.model != model:
        return "serves another model"
    if candidate.draining:
        return "draining"
    if not candidate.ready:
        return "not ready"
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


def _verdict(candidate: Candidate, model: str, pin: NodeId | None) -> Verdict:
    ruled_out = ruled_out_by(candidate, model, pin)
    return Verdict(candidate.engine_id, candidate.node_id, ruled_out, score(candidate))


def _rank(verdict: Verdict) -> tuple[bool, int, str]:
    return verdict.ruled_out_by is not None, verdict.score, verdict.engine_id
