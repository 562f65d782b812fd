"""Seats: places for engines on machines. What the Scheduler wants of them, and what the cluster tells."""

from collections.abc import Mapping

from msgspec import Struct, field

from cluster.ids import EngineId, NodeId
from cluster.messages.machines import Hardware


class SeatOrder(Struct, frozen=True):
    """A place that an engine is to have: so much on each of `machines` that have these labels and are not `avoided`."""

    engine_id: EngineId
    gpus: int
    cpus: float
    labels: Mapping[str, str] = field(default_factory=dict)
    avoided: tuple[NodeId, ...] = ()
    machines: int = 1


class SeatReport(Struct, frozen=True):
    """A seat that the cluster knows of, and its machine, once there is one.

    Of a seat on several, that is the one which the engine is on; `further` are the others, and all are told at once.
    `is_hopeless`: the cluster says that it has no machines for it, and that none will come as things are.
    """

    engine_id: EngineId
    node_id: NodeId | None = None
    is_hopeless: bool = False
    further: tuple[NodeId, ...] = ()

    @property
    def nodes(self) -> tuple[NodeId, ...]:
        """All its machines, that of the engine first; none while it waits."""
        return () if self.node_id is None else (self.node_id, *self.further)


class MachineReport(Struct, frozen=True):
    """A machine that is in the cluster, whether or not anything runs there.

    `stays`: nobody takes it out of the cluster for having nothing to do. `leaves_at_ms` is when it is taken away.
    """

    node_id: NodeId
    hardware: Hardware
    stays: bool = True
    leaves_at_ms: int | None = None


class ClusterReport(Struct, frozen=True):
    """All machines and all seats, each time. `elastic`: machines are brought for seats that wait, and let go."""

    machines: tuple[MachineReport, ...]
    seats: tuple[SeatReport, ...] = ()
    elastic: bool = False
