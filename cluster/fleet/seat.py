"""A place on one machine or several that is kept, or looked for, for one engine. Pure."""

from typing import TYPE_CHECKING

from cluster.fleet import gpu_memory
from cluster.fleet.machine import Machine
from cluster.ids import EngineId, NodeId
from cluster.messages.seats import SeatOrder

if TYPE_CHECKING:
    from cluster.fleet.served_model import ServedModel


class Seat:
    """It waits until the cluster names its machines. Then an engine is ordered on the first, and it is `taken`.

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
        self.machines: tuple[Machine, ...] = ()
        self.is_stuck = False
        """It waits, and no machine comes for it: only others that end make room."""
        self.fits_since_s: float | None = None
        """Since when there should be room for it, while it waits all the same."""

    @property
    def waits(self) -> bool:
        """Its machines have not been found yet."""
        return not self.machines

    @property
    def first(self) -> Machine | None:
        """The machine whose node runs the engine."""
        return self.machines[0] if self.machines else None

    @property
    def is_in_use(self) -> bool:
        """Something of its engine was there when the first machine's node last told."""
        return self.first is not None and self.first.runs(self.id)

    def find(self, machines: tuple[Machine, ...], is_stuck: bool) -> None:
        """The cluster tells where it is; or that it waits, and whether nothing comes for it."""
        if machines != self.machines and (self.waits or not self.taken):
            self.leave()
            self.machines = machines
        for machine in self.machines:
            machine.seats[self.id] = self
        self.is_stuck = self.waits and is_stuck

    def leave(self) -> None:
        """Be on no machine."""
        for machine in self.machines:
            machine.seats.pop(self.id, None)

    def is_outdated(self, avoided: set[NodeId]) -> bool:
        """It is on a machine where no seat is to be; or it waits for any but one where seats may be again."""
        if self.waits:
            return not avoided.issuperset(self.avoided)
        return any(machine.draining or machine.id in avoided for machine in self.machines)

    @property
    def order(self) -> SeatOrder:
        model = self.peers.model
        labels, made_of = gpu_memory.labels(model, self.peers.demand), self.peers.make.fingerprint
        return SeatOrder(self.id, model.gpus, model.cpus, labels, self.avoided, self.preferred, made_of, model.machines)
