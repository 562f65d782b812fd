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


class Verdict(Struct, frozen=True):
    """What was made of one engine when a job was placed. The lower `score` wins, of those that nothing ruled out."""

    engine_id: EngineId
    node_id: NodeId
    ruled_out_by: RuledOut | None
    score: int


class Placed(Struct, frozen=True):
    """A job has been given to an engine. `considered` is what was made of this one and of the others.

    `moved_by` is why it had lost the engine before, where there was one.
    """

    job_id: JobId
    node_id: NodeId
    engine_id: EngineId
    attempt: int
    placed_ms: int
    considered: tuple[Verdict, ...] = ()
    moved_by: MovedBy | None = None
