"""A place on a machine that is kept, or looked for, for one engine. Pure."""

from typing import TYPE_CHECKING

from cluster.fleet import gpu_memory
from cluster.fleet.machine import Machine
from cluster.ids import EngineId, NodeId
from cluster.messages.seats import SeatOrder

if TYPE_CHECKING:
    from cluster.fleet.served_model import ServedModel


class Seat:
    """It waits until the cluster names a machine. Then an engine is ordered there, and it is `taken`.

    It is kept until the engine's node says that the engine is gone: what it booked is not free before that.
    """

    def __init__(
        self,
        engine_id: EngineId,
        peers: "ServedModel",
        since_s: float,
        taken: bool = False,
        avoided: tuple[NodeId, ...] = (),
        preferred: tuple[NodeId, ...] = (),
    ) -> None:
        self.id = engine_id
        self.peers = peers
        self.since_s = since_s
        self.taken = taken
        self.avoided = avoided
        self.preferred = preferred
        self.machine: Machine | None = None
        self.is_stuck = False
        """It waits, and no machine comes for it: only others that end make room."""
        self.fits_since_s: float | None = None
        """Since when there should be room for it, while it waits all the same."""

    @property
    def waits(self) -> bool:
        """No machine has been found for it yet."""
        return self.machine is None

    def find(self, machine: Machine | None, is_stuck: bool) -> None:
        """The cluster tells where it is; or that it waits, and whether nothing comes for it."""
        if machine is not self.machine and (self.waits or not self.taken):
            self.leave()
            self.machine = machine
        if self.machine is not None:
            self.machine.seats[self.id] = self
        self.is_stuck = self.waits and is_stuck

    def leave(self) -> None:
        """Be on no machine."""
        if self.machine is not None:
            self.machine.seats.pop(self.id, None)

    def is_outdated(self, avoided: set[NodeId]) -> bool:
        """It is on a machine where no seat is to be; or it waits for any but one where seats may be again."""
        if self.machine is None:
            return not avoided.issuperset(self.avoided)
        return self.machine.draining or self.machine.id in avoided

    @property
    def order(self) -> SeatOrder:
        model = self.peers.model
        labels = gpu_memory.labels(model, self.peers.demand)
        return SeatOrder(self.id, model.gpus, model.cpus, labels, self.avoided, self.preferred)
