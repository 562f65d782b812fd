"""A cluster that gives out seats as Ray does: each on the fullest machine that has room, whatever waits waits."""

from collections.abc import Callable, Iterable, Sequence

from cluster.catalogue import Catalogue, Model
from cluster.fleet import labels
from cluster.fleet.fleet import Change, Fleet
from cluster.ids import EngineId, NodeId
from cluster.messages.machines import EngineReport, Hardware, NodeReport
from cluster.messages.seats import ClusterReport, MachineReport, SeatOrder, SeatReport
from cluster.timing import Timing


class GivenCluster:
    """Machines and the seats on them. An elastic one tells so; its machines come and go by `join` and `leave`."""

    def __init__(self, elastic: bool = False) -> None:
        self.elastic = elastic
        self.machines: dict[NodeId, Hardware] = {}
        self.leaves_at_ms: dict[NodeId, int] = {}
        self.seats: dict[EngineId, SeatOrder] = {}
        self.places: dict[EngineId, NodeId] = {}
        self.further: dict[EngineId, tuple[NodeId, ...]] = {}
        self.hopeless: set[EngineId] = set()
        self.stays: set[NodeId] = set()
        self.labels: dict[NodeId, dict[str, str]] = {}

    def join(self, node_id: NodeId, hardware: Hardware) -> None:
        self.machines[node_id] = hardware

    def runs(self, engine: EngineReport, model: Model | None) -> None:
        """An engine is there that nobody here gave a seat to."""
        if model is not None and model.books and engine.state in ("starting", "ready"):
            self.seats.setdefault(engine.id, SeatOrder(engine.id, model.gpus, model.cpus))
            self.places.setdefault(engine.id, engine.node_id)

    def leave(self, node_id: NodeId) -> None:
        """A machine is gone, and the seats on it wait for another one."""
        self.machines.pop(node_id, None)
        self.places = {each: place for each, place in self.places.items() if node_id not in self.machines_of(each)}
        self.further = {engine_id: nodes for engine_id, nodes in self.further.items() if engine_id in self.places}

    def machines_of(self, engine_id: EngineId) -> tuple[NodeId, ...]:
        return (self.places[engine_id], *self.further.get(engine_id, ())) if engine_id in self.places else ()

    def carry_out(self, orders: Sequence[SeatOrder], unwanted: Iterable[EngineId]) -> ClusterReport:
        for engine_id in unwanted:
            self.seats.pop(engine_id, None)
            self.places.pop(engine_id, None)
            self.further.pop(engine_id, None)
        for order in orders:
            self.seats.setdefault(order.engine_id, order)
        for engine_id in [each for each in self.seats if each not in self.places]:
            if places := self._places(self.seats[engine_id]):
                self.places[engine_id], *further = places
                self.further[engine_id] = tuple(further)
        return self.report()

    async def see_to(self, orders: Sequence[SeatOrder], unwanted: Iterable[EngineId]) -> ClusterReport:
        return self.carry_out(orders, unwanted)

    def report(self) -> ClusterReport:
        return ClusterReport(
            tuple(
                MachineReport(
                    node_id,
                    hardware,
                    not self.elastic or node_id in self.stays,
                    self.leaves_at_ms.get(node_id),
                    self.labels.get(node_id, {}),
                )
                for node_id, hardware in self.machines.items()
            ),
            tuple(self._seat_report(order) for order in self.seats.values()),
            self.elastic,
        )

    def _seat_report(self, order: SeatOrder) -> SeatReport:
        engine_id = order.engine_id
        where, further = self.places.get(engine_id), self.further.get(engine_id, ())
        return SeatReport(engine_id, where, engine_id in self.hopeless, order.made_of, further)

    def free(self, node_id: NodeId) -> tuple[float, float]:
        """GPUs and CPUs of this machine that no seat holds."""
        held = [self.seats[engine_id] for engine_id in self.places if node_id in self.machines_of(engine_id)]
        hardware = self.machines[node_id]
        return hardware.gpu_count - sum(s.gpus for s in held), hardware.cpus - sum(s.cpus for s in held)

    def _places(self, order: SeatOrder) -> list[NodeId]:
        """As many machines as are ordered, or none."""
        there = [each for each in self.machines if each not in order.avoided and each not in self.leaves_at_ms]
        fitting = [each for each in there if self._fits(order, each)]
        return sorted(fitting, key=self.free)[: order.machines] if len(fitting) >= order.machines else []

    def _fits(self, order: SeatOrder, node_id: NodeId) -> bool:
        gpus, cpus = self.free(node_id)
        has_labels = labels.match(order.labels, self.labels.get(node_id, {}))
        return has_labels and order.gpus <= gpus and order.cpus <= cpus


class SeatedFleet(Fleet):
    """A fleet on the machines whose nodes have reported: what it asks of the cluster is done whenever it plans."""

    def __init__(
        self,
        catalogue: Catalogue,
        existing: Iterable[EngineId],
        now_s: float,
        timing: Timing = Timing(),
        cluster: GivenCluster | None = None,
    ) -> None:
        super().__init__(catalogue, existing, now_s, timing)
        self.catalogue = catalogue
        self.cluster = cluster or GivenCluster()

    def report(self, report: NodeReport, now_s: float, now_ms: int) -> Change:
        self.cluster.join(report.node_id, report.hardware)
        for engine in report.engines:
            self.cluster.runs(engine, self.catalogue.find(engine.model))
        return super().report(report, now_s, now_ms)

    def plan(self, now_s: float, waiting: Callable[[str], int]) -> None:
        if not self.cluster.machines:
            return super().plan(now_s, waiting)
        self._ask(now_s)
        super().plan(now_s, waiting)
        for _ in range(4):  # what is given up makes room for what waits
            if not self.wants_survey:
                break
            self._ask(now_s)
            super().plan(now_s, waiting)
        return None

    def _ask(self, now_s: float) -> None:
        for _ in range(2):  # seats that nobody wants are known once they have been told of
            self.survey(self.cluster.carry_out(self.seat_orders(), self.unwanted_seats()), now_s, round(now_s * 1000))
