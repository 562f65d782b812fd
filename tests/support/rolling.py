"""Machines whose models' settings change: each time another Scheduler's fleet adopts the engines that run."""

from msgspec.structs import replace

from cluster.catalogue import Catalogue, Model
from cluster.fleet.makes import make_of
from cluster.ids import EngineId, NodeId
from cluster.messages.machines import EngineReport, Hardware, Make, ModelView, NodeReport
from cluster.messages.seats import SeatOrder
from tests.support.seats import GivenCluster, SeatedFleet

CPUS = 16.0


class RollingStage:
    """Engines of one model on machines with so many GPUs each. One that is ordered starts, and is ready by `load`."""

    def __init__(self, model: Model, *gpus: int) -> None:
        self.model = model
        self.cluster = GivenCluster()
        self.gpus = {NodeId(f"node_{number}"): each for number, each in enumerate(gpus)}
        self.engines: dict[EngineId, EngineReport] = {}
        self.fails: set[str] = set()
        """Fingerprints of settings with which no engine loads."""
        self.jobs = 0
        self.now_s = 0.0
        self.fleet = self._fleet()

    def _fleet(self) -> SeatedFleet:
        return SeatedFleet(Catalogue((self.model,)), list(self.engines), self.now_s, cluster=self.cluster)

    def change(self, **settings: object) -> None:
        """Another Scheduler begins, by other settings of the model."""
        self.model = replace(self.model, **settings)
        self.fleet = self._fleet()

    def restart(self) -> None:
        """Another Scheduler begins, by the same settings."""
        self.fleet = self._fleet()

    def beat(self, after_s: float = 1.0) -> None:
        """The machines report, it is planned, and they do what they are told."""
        self.now_s += after_s
        for node, gpus in self.gpus.items():
            there = tuple(engine for engine in self.engines.values() if engine.node_id == node)
            report = NodeReport(node, Hardware(node, CPUS, 1 << 30, gpus), there)
            for engine_id in self.fleet.report(report, self.now_s, self._now_ms).lost:
                self.fleet.drop(engine_id)
        self.fleet.expire(self.now_s)
        self.fleet.plan(self.now_s, lambda model: self.jobs)
        for node in self.gpus:
            self._obey(node)

    def load(self) -> None:
        """Engines that start are ready, or have failed."""
        for engine_id in self.starting():
            self.load_one(engine_id)

    def load_one(self, engine_id: EngineId) -> None:
        engine = self.engines[engine_id]
        assert engine.made_of is not None
        if engine.made_of.fingerprint in self.fails:
            self.engines[engine_id] = replace(engine, state="failed", message="out of memory")
        else:
            self.engines[engine_id] = replace(engine, state="ready")

    def starting(self) -> list[EngineId]:
        return [engine_id for engine_id, engine in self.engines.items() if engine.state == "starting"]

    def settle(self, beats: int = 40) -> None:
        """So much time passes that all that can come about has."""
        for _ in range(beats):
            self.beat()
            self.load()

    def _obey(self, node: NodeId) -> None:
        ordered = {order.id for order in self.fleet.orders(node).engines}
        for engine_id, engine in list(self.engines.items()):
            if engine.node_id == node and engine_id not in ordered:
                del self.engines[engine_id]
        for engine_id in ordered - self.engines.keys():
            self.engines[engine_id] = EngineReport(
                engine_id, self.model.id, node, "starting", slots=4, context_length=self._context, made_of=self.make
            )

    @property
    def _context(self) -> int:
        return int(self.model.engine.get("context_length", 128))

    @property
    def _now_ms(self) -> int:
        return round(self.now_s * 1000)

    @property
    def make(self) -> Make:
        """What is to be."""
        return make_of(self.model)

    @property
    def view(self) -> ModelView:
        return self.fleet.models.views({}, self.now_s)[0]

    def ready(self) -> list[EngineId]:
        """The engines that can be given jobs."""
        return [
            verdict.engine_id
            for verdict in self.fleet.models.ranking(self.model.id).considered(None)
            if verdict.ruled_out_by in (None, "no room")
        ]

    def new(self) -> list[EngineId]:
        """The engines that are ready, and made of what is to be."""
        return [engine_id for engine_id in self.ready() if self.engines[engine_id].made_of == self.make]

    def booked(self, node: NodeId) -> list[SeatOrder]:
        return [self.cluster.seats[each] for each, place in self.cluster.places.items() if place == node]
