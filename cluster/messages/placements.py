"""What is said of where jobs run, and why there."""

from typing import Literal

from msgspec import Struct

from cluster.ids import EngineId, JobId, NodeId

RuledOut = Literal[
    "offline", "draining", "not ready", "cannot be reached", "no room", "not the pinned node", "has a suspect"
]


MovedBy = Literal[
    "engine died",
    "node went silent",
    "engine cannot be reached",
    "order was lost",
    "engine retired",
    "engine failed it",
    "nobody had it",
]
"""Why a job lost the engine that it had been given to: the last one when the control plane found nobody with it."""


class Verdict(Struct, frozen=True, gc=False):
    """What was made of one engine when a job was placed. The lowest `score` wins, of those that nothing ruled out.

    It is the tokens of work before the job there, less the `cached_tokens`: those of the job's prompt that the engine
    is expected to have in its cache. An engine that has the job's adapter loaded already is spared as much again as
    loading one is worth (`cluster/placement.py`).
    """

    engine_id: EngineId
    node_id: NodeId
    ruled_out_by: RuledOut | None
    score: int
    cached_tokens: int = 0
    has_adapter: bool = False


class Placed(Struct, frozen=True):
    """A job has been given to an engine. `considered` is what was made of this one and of the others.

    `moved_by` is why it had lost the engine before, where there was one. `cached_tokens` are those of its prompt that
    the engine had in its cache, None until it has told. It has `passed` so many jobs of its account that came earlier.
    From `first_ms` to `last_ms` it was heard of, None where that is not known.
    """

    job_id: JobId
    node_id: NodeId
    engine_id: EngineId
    attempt: int
    placed_ms: int
    considered: tuple[Verdict, ...] = ()
    moved_by: MovedBy | None = None
    cached_tokens: int | None = None
    passed: int = 0
    first_ms: int | None = None
    last_ms: int | None = None


class Heard(Struct, frozen=True, array_like=True):
    """When the first and when the last token of an attempt was heard."""

    attempt: int
    first_ms: int
    last_ms: int
