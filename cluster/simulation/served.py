"""A model as a simulation has it: its engines, those that are to stay, and how many there are to be."""

from collections.abc import Iterator

from cluster.fleet.scaling import Load
from cluster.ids import EngineId
from cluster.queue import LaneId
from cluster.simulation.engine import SimulatedEngine
from cluster.simulation.machines import MachinePark
from cluster.simulation.placing import Placing
from cluster.simulation.sizing import Sizing
from cluster.simulation.speeds import Subject


class Served:
    """Sole owner of one model's engines. What it takes the machines for counts in `gpu_s`."""

    def __init__(self, subject: Subject, sizing: Sizing, placing: Placing, park: MachinePark) -> None:
        self.model = subject.model
        self.speed = subject.speed
        self.lane = LaneId(subject.model.id)
        self.placing = placing
        self.engines: dict[EngineId, SimulatedEngine] = {}
        self.retiring: dict[EngineId, SimulatedEngine] = {}
        self.waiting = 0
        self.running = 0
        self.ended = 0
        self.ready = 0
        self.starting = 0
        self.starts = 0
        self.sizes: list[tuple[float, int]] = []
        """From when on there were how many replicas, those that start included and those that retire not."""
        self.gpu_s = 0.0
        self.lacks_room = False
        self._sizing = sizing
        self._park = park
        self._counted: dict[EngineId, SimulatedEngine] = {}
        self._began_s: dict[EngineId, float] = {}
        # What an engine runs at once is known where the catalogue says it, else once the first one has told.
        self._slots = self.speed.slots if self.model.traits.slots_option in self.model.engine else None

    @property
    def replicas(self) -> int:
        """Those that are to stay."""
        return len(self._counted)

    def is_due(self, now_s: float) -> bool:
        return self._sizing.due_s <= now_s

    def scale(self, now_s: float) -> list[SimulatedEngine]:
        """Have as many as there ought to be. Returns the engines that begin to start."""
        load = Load(self.waiting, self.running, self.replicas, self.starting, self._slots, self.ended)
        wanted, before = self._sizing.wanted(load, now_s), self.replicas
        if wanted == before:
            return []
        for engine in sorted(self._counted.values(), key=_usefulness)[: max(0, before - wanted)]:
            self._retire(engine, now_s)
        for engine in list(self.retiring.values())[: max(0, wanted - before)]:
            self._stay(engine)
        begun = list(self._order(wanted - self.replicas, now_s))
        if self.replicas != before:
            self.sizes.append((now_s, self.replicas))
        return begun

    def become_ready(self, engine: SimulatedEngine) -> None:
        self.starting -= 1
        self.ready += 1
        self._slots = self.speed.slots
        engine.ready = True
        self.placing.put(engine.candidate())

    def end(self, engine: SimulatedEngine, now_s: float) -> None:
        """This engine is gone, and its place is free."""
        del self.engines[engine.id]
        self._counted.pop(engine.id, None)
        self.retiring.pop(engine.id, None)
        self.ready -= engine.ready
        self.placing.remove(engine.id)
        engine.machine.leave(self.model, now_s)
        self.gpu_s += self.model.gpus * (now_s - self._began_s.pop(engine.id))

    def gpu_s_so_far(self, now_s: float) -> float:
        """The GPU seconds that its replicas have held, from the moment that each was ordered."""
        return self.gpu_s + self.model.gpus * sum(now_s - began_s for began_s in self._began_s.values())

    def _retire(self, engine: SimulatedEngine, now_s: float) -> None:
        if not engine.ready:
            self.starting -= 1
        engine.retiring_since_s = now_s
        self.retiring[engine.id] = self._counted.pop(engine.id)
        self.placing.put(engine.candidate())

    def _stay(self, engine: SimulatedEngine) -> None:
        if not engine.ready:
            self.starting += 1
        engine.retiring_since_s = None
        self._counted[engine.id] = self.retiring.pop(engine.id)
        self.placing.put(engine.candidate())

    def _order(self, missing: int, now_s: float) -> Iterator[SimulatedEngine]:
        self.lacks_room = False
        for _ in range(missing):  # none where that is negative
            machine = self._park.seat(self.model, now_s)
            if machine is None:
                self.lacks_room = True
                return
            self.starts += 1
            self.starting += 1
            engine = SimulatedEngine(EngineId(f"{self.model.id}/{self.starts:06}"), self.speed, machine)
            self.engines[engine.id] = self._counted[engine.id] = engine
            self._began_s[engine.id] = now_s
            self.placing.put(engine.candidate())
            yield engine


def _usefulness(engine: SimulatedEngine) -> tuple[bool, int]:
    """What is lost with an engine: nothing while it starts, then the room that its jobs would need elsewhere."""
    return engine.ready, len(engine)
