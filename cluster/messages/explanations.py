"""What is said of why a job waits, or runs where it runs."""

from typing import Literal

from msgspec import Struct

from cluster.ids import EngineId, JobId, NodeId
from cluster.messages.machines import ModelView
from cluster.messages.placements import MovedBy, Placed, Verdict
from cluster.messages.work import Priority

Stage = Literal["being accepted", "waiting", "with an engine", "moving", "looked for", "ending"]
"""Where a job is that has not ended. It is looked for after a restart of the Scheduler, until the engines have told."""


class Turn(Struct, frozen=True):
    """Whose turn it is where a job waits. Of other accounts it has numbers only.

    First come `resumed_before` jobs that lost their engine, which this one is too if it `resumes`; then the accounts by
    what they have had of the model while others waited (`share`, `cluster/shares.py`): `accounts_before` have had less,
    the least of all `least_share`. `own_before` jobs of the account itself come before this one.
    """

    priority: Priority
    resumes: bool = False
    resumed_before: int = 0
    accounts_before: int = 0
    own_before: int = 0
    share: float = 0.0
    least_share: float = 0.0
    weight: int = 1


class Standing(Struct, frozen=True):
    """What is so now of a job that has not ended. `turn` and `verdicts`, one per engine, are of a job that waits.

    It is given to an engine of `node_id` only where it is pinned, and to one without another such job if it is
    `suspect`: engines died under it. No `model` is told of a job that ends, or of one that the catalogue has no more.
    """

    stage: Stage
    model: ModelView | None = None
    verdicts: tuple[Verdict, ...] = ()
    turn: Turn | None = None
    node_id: NodeId | None = None
    suspect: bool = False


class Explanation(Struct, frozen=True):
    """Every attempt to run a job, and, of a job that has not ended, how it stands now."""

    job_id: JobId
    attempts: tuple[Placed, ...]
    standing: Standing | None = None


MomentEvent = Literal["queued", "placed", "first_token", "moved", "ended"]


class Moment(Struct, frozen=True):
    """Something happened with a job: it was given to an engine, told its first token there, or lost it."""

    event: MomentEvent
    at_ms: int
    attempt: int | None = None
    node_id: NodeId | None = None
    engine_id: EngineId | None = None
    moved_by: MovedBy | None = None
