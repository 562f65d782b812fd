"""Seats: places for engines on machines. What the Scheduler wants of them, and what the cluster tells."""

from collections.abc import Mapping

from msgspec import Struct, field

from cluster.ids import EngineId, NodeId
from cluster.messages.machines import Hardware


class SeatOrder(Struct, frozen=True):
    """A place that an engine is to have: so much on each of `machines` that have these labels and are not `avoided`.

    If it is one, then one of the `preferred` that has room. `made_of` is the fingerprint of what its engine is to be.
    """

    engine_id: EngineId
    gpus: int
    cpus: float
    labels: Mapping[str, str] = field(default_factory=dict)
    avoided: tuple[NodeId, ...] = ()
    preferred: tuple[NodeId, ...] = ()
    made_of: str = ""
    machines: int = 1


class SeatReport(Struct, frozen=True):
    """A seat that the cluster knows of, and its machine, once there is one.

    Of a seat on several, that is the one which the engine is on; `further` are the others, and all are told at once.
    `is_hopeless`: the cluster says that it has no machines for it, and that none will come as things are. `made_of`
    is that of its order.
    """

    engine_id: EngineId
    node_id: NodeId | None = None
    is_hopeless: bool = False
    made_of: str = ""
    further: tuple[NodeId, ...] = ()

    @property
    def nodes(self) -> tuple[NodeId, ...]:
        """All its machines, that of the engine first; none while it waits."""
        return () if self.node_id is None else (self.node_id, *self.further)


class MachineReport(Struct, frozen=True):
    """A machine that is in the cluster, with its labels, whether or not anything runs there.

    `stays`: nobody takes it out of the cluster for having nothing to do. `leaves_at_ms` is when it is taken away.
    """

    node_id: NodeId
    hardware: Hardware
    stays: bool = True
    leaves_at_ms: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


class ClusterReport(Struct, frozen=True):
    """All machines and all seats, each time. `elastic`: machines are brought for seats that wait, and let go.

    `given_back` are those that are there no more because they were let go, or taken away after a notice.
    """

    machines: tuple[MachineReport, ...]
    seats: tuple[SeatReport, ...] = ()
    elastic: bool = False
    given_back: frozenset[NodeId] = frozenset()
