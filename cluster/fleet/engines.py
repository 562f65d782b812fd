"""The engines that are wanted: how they come to be so, and until when. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from cluster.fleet.backoff import StartBackoff
from cluster.fleet.machine import Machine
from cluster.fleet.numbers import Numbers
from cluster.fleet.replica import Replica
from cluster.fleet.seating import Seating
from cluster.fleet.served_model import ServedModel
from cluster.ids import EngineId, NodeId
from cluster.messages.machines import EngineReport
from cluster.messages.models import EngineFailure


class Engines:
    """Sole owner of the `replicas`. `unseen` are engines that ran before this began, and have yet to be heard of."""

    def __init__(
        self,
        replicas: dict[EngineId, Replica],
        machines: Mapping[NodeId, Machine],
        models: Mapping[str, ServedModel],
        numbers: Numbers,
        seating: Seating,
        unseen: Iterable[EngineId],
    ) -> None:
        self._replicas = replicas
        self._machines = machines
        self._models = models
        self._numbers = numbers
        self._seating = seating
        self.unseen = set(unseen)

    # What they tell -----------------------------------------------------------------------------------------------

    def hear(self, engine: EngineReport, now_s: float) -> bool:
        """Note what an engine tells; true when that makes it ready."""
        self.unseen.discard(engine.id)
        replica = self._replicas.get(engine.id) or self._adopt(engine, now_s)
        if replica is None or engine.state not in ("starting", "ready"):
            return False
        became_ready = engine.state == "ready" and replica.state != "ready"
        replica.hear(engine, now_s)
        if became_ready and not replica.is_outdated:
            replica.peers.backoff = StartBackoff(has_served=True)
        return became_ready

    def note_failure(self, engine: EngineReport, now_s: float, now_ms: int) -> bool:
        """Keep why an ordered engine failed; true when it did."""
        replica = self._replicas.get(engine.id)
        if engine.state != "failed" or replica is None:
            return False
        replica.peers.failures.append(EngineFailure(engine.id, engine.node_id, now_ms, engine.message))
        if not replica.is_outdated:
            replica.peers.backoff.failed(engine.message, now_s)
        return True

    def reach_further(self) -> None:
        """Of an engine that was adopted, the cluster tells where its parts are. Their nodes are heard by and by."""
        for replica in self._replicas.values():
            machines = self._seating.machines_of(replica.id)
            if len(machines) > len(replica.machines) and all(machine.online for machine in machines):
                replica.reach(machines)

    def _adopt(self, engine: EngineReport, now_s: float) -> Replica | None:
        """Keep an engine that nobody here ordered, if one like it is wanted."""
        served = self._models.get(engine.model)
        if served is None or self._numbers.has_ended(engine.id) or engine.state not in ("starting", "ready"):
            return None
        if not self._wants(served, engine):
            return None
        served.backoff.found_room()
        self._numbers.saw(engine.id)
        return self.join(engine.id, served, (self._machines[engine.node_id],), now_s)

    def _wants(self, served: ServedModel, engine: EngineReport) -> bool:
        """There may be one more of this model; or a machine of it is being drained, and it has jobs to end."""
        machines = self._seating.machines_of(engine.id) or (self._machines[engine.node_id],)
        if any(machine.draining for machine in machines):
            return bool(engine.running)
        return served.may_adopt(engine.made_of)

    # Which there are to be ----------------------------------------------------------------------------------------

    def join(self, engine_id: EngineId, served: ServedModel, machines: Sequence[Machine], now_s: float) -> Replica:
        """This engine is wanted, on the first of these machines and with a part on each further one."""
        first, *further = machines
        replica = self._replicas[engine_id] = Replica(engine_id, served.model, first, served, further, now_s)
        replica.join()
        self._seating.take(engine_id)
        return replica

    def drop(self, engine_id: EngineId) -> Replica | None:
        """Count on this engine no longer. Unless it is adopted again, its node stops what is left of it."""
        self.unseen.discard(engine_id)
        replica = self._replicas.pop(engine_id, None)
        if replica is not None:
            replica.leave()
            if replica.report is not None:
                self._seating.release(replica.node)
        return replica

    def end(self, replica: Replica) -> None:
        """Nobody needs it any more: its node's next orders are without it."""
        self.drop(replica.id)
        self._numbers.end(replica.id)
