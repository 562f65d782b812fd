"""What is said of single models: what admins have set of them, and how their replicas are."""

from msgspec import UNSET, Struct, UnsetType

from cluster.catalogue import Adapter, Replicas
from cluster.ids import EngineId, NodeId
from cluster.messages.machines import EngineState, ModelView


class ModelSettings(Struct, frozen=True):
    """What admins have set of a model while the system runs; of the bounds, None is what the settings file says.

    Its engines have been restarted on demand so many times: those of a lesser number are to be replaced. Besides those
    of the settings file it has these `adapters`. Of those that have been `removed`, jobs may still be open.
    """

    model: str
    min: int | None = None
    max: int | None = None
    idle_s: int | None = None
    restarts: int = 0
    adapters: tuple[Adapter, ...] = ()
    removed: tuple[Adapter, ...] = ()

    @property
    def sets_bounds(self) -> bool:
        return (self.min, self.max, self.idle_s) != (None, None, None)


class BoundsChange(Struct, frozen=True):
    """What of a model's bounds is to be otherwise: what is UNSET stays, and None is what the settings file says."""

    min: int | UnsetType | None = UNSET
    max: int | UnsetType | None = UNSET
    idle_s: int | UnsetType | None = UNSET


class ReplicaView(Struct, frozen=True):
    """One replica: since `since_ms` it has been in its state, as far as the Scheduler knows.

    What one that starts is doing is its `phase`. One that is `retiring` gets no more jobs, and ends; one that is
    `outdated` will, once another has taken its place.
    """

    id: EngineId
    node_id: NodeId
    state: EngineState
    since_ms: int
    running: int = 0
    slots: int = 0
    phase: str = ""
    retiring: bool = False
    outdated: bool = False


class EngineFailure(Struct, frozen=True):
    """An engine that did not come up, or failed, and why, in the words of its backend."""

    id: EngineId
    node_id: NodeId
    at_ms: int
    message: str


class ModelDetail(Struct, frozen=True):
    """A model, how many replicas of it there may be, those that there are, and the last that failed.

    `bounds` are those in force; an admin has set some of them if they are `set_by_admin`.
    """

    view: ModelView
    bounds: Replicas
    set_by_admin: bool
    replicas: tuple[ReplicaView, ...]
    failures: tuple[EngineFailure, ...]
