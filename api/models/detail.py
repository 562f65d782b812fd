"""One model: its replicas, how many there may be, and its last failures."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from api.http.bodies import Change, NodeIdText, Time
from api.models.schemas import CatalogueModel, Speed, catalogue_body
from cluster.catalogue import Catalogue, Replicas
from cluster.clock import iso_utc
from cluster.messages import models
from cluster.messages.machines import EngineState

MOST_REPLICAS = 100_000
MOST_IDLE_S = 10**9

Least = Annotated[int, Field(ge=0, le=MOST_REPLICAS)]
Most = Annotated[int, Field(ge=1, le=MOST_REPLICAS)]
IdleSeconds = Annotated[int, Field(ge=1, le=MOST_IDLE_S)]


class BoundsPatch(Change):
    """How many replicas there may be: what is left out stays, null is what the settings say.

    Where `min` is 0, the last one ends after `idle_s` seconds without a job.
    """

    min: Least | None = None
    max: Most | None = None
    idle_s: IdleSeconds | None = None


class ModelPatch(Change):
    """What of a model is to be otherwise. `replicas: null` is all that the settings say of them."""

    replicas: BoundsPatch | None = None

    def change(self) -> models.BoundsChange:
        if not self.asks_for("replicas"):
            return models.BoundsChange()
        if self.replicas is None:
            return models.BoundsChange(None, None, None)
        asked: dict[str, Any] = {name: getattr(self.replicas, name) for name in self.replicas.model_fields_set}
        return models.BoundsChange(**asked)


class Bounds(TypedDict):
    """How many replicas there may be. Where `min` is 0, the last one ends after `idle_s` seconds without a job."""

    min: Annotated[int, Field(ge=0)]
    max: Annotated[int, Field(ge=1)]
    idle_s: Annotated[int, Field(ge=1)]


class BoundsInForce(Bounds):
    """The bounds in force, and whether an admin has set any of them; `settings` is what holds otherwise."""

    set_by: Literal["settings", "admin"]
    settings: Bounds


class Replica(TypedDict):
    """One replica of a model."""

    engine_id: str
    node_id: NodeIdText
    state: EngineState
    since: Annotated[Time, Field(description="Since when it is in its state, as far as is known")]
    running: Annotated[int, Field(ge=0, description="Jobs that it works on")]
    slots: NotRequired[Annotated[int, Field(ge=1, description="Jobs that it runs at once, once it has told")]]
    phase: NotRequired[Annotated[str, Field(description="What one that starts is doing")]]
    retiring: NotRequired[Annotated[bool, Field(description="It gets no more jobs, and ends")]]
    outdated: NotRequired[Annotated[bool, Field(description="It is to be replaced")]]


class EngineFailure(TypedDict):
    """An engine that did not come up, or failed, and why, in the words of its backend."""

    engine_id: str
    node_id: NodeIdText
    at: Time
    message: str


class ModelDetail(CatalogueModel):
    """A model of the catalogue, its replicas, and the last of its engines that failed since the Scheduler began.

    `replicas` counts those that are ready, and `engines` has them all.
    """

    bounds: BoundsInForce
    engines: list[Replica]
    failures: list[EngineFailure]


def detail_body(detail: models.ModelDetail, speed: Speed, catalogue: Catalogue) -> ModelDetail:
    """`speed` tells the tokens per second of a model or an adapter by its id."""
    settings = catalogue.model(detail.view.id).replicas
    return {
        **catalogue_body(detail.view, speed, catalogue),
        "bounds": {
            **_bounds_body(detail.bounds),
            "set_by": "admin" if detail.set_by_admin else "settings",
            "settings": _bounds_body(settings),
        },
        "engines": [_replica_body(replica) for replica in detail.replicas],
        "failures": [_failure_body(failure) for failure in detail.failures],
    }


def _bounds_body(bounds: Replicas) -> Bounds:
    return {"min": bounds.min, "max": bounds.max, "idle_s": bounds.idle_s}


def _replica_body(replica: models.ReplicaView) -> Replica:
    body: Replica = {
        "engine_id": replica.id,
        "node_id": replica.node_id,
        "state": replica.state,
        "since": iso_utc(replica.since_ms),
        "running": replica.running,
    }
    if replica.slots:
        body["slots"] = replica.slots
    if replica.phase:
        body["phase"] = replica.phase
    if replica.retiring:
        body["retiring"] = True
    if replica.outdated:
        body["outdated"] = True
    return body


def _failure_body(failure: models.EngineFailure) -> EngineFailure:
    return {
        "engine_id": failure.id,
        "node_id": failure.node_id,
        "at": iso_utc(failure.at_ms),
        "message": failure.message,
    }
