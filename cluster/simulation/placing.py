"""Which engine a job goes to: `cluster/placement.py` ranks them by their load; here is what it is compared with."""

from typing import Protocol

from cluster.ids import EngineId, NodeId
from cluster.messages.placements import Verdict
from cluster.placement import Candidate, ruled_out_by


class Placing(Protocol):
    """The engines of one model, and the choice among them. `Ranking` is one."""

    def put(self, candidate: Candidate) -> None: ...

    def remove(self, engine_id: EngineId) -> None: ...

    def best(self, pin: NodeId | None, suspect: bool = False) -> Verdict | None: ...


class RoundRobin:
    """The engines in a circle, whatever they have to do; those without room are passed over."""

    def __init__(self) -> None:
        self._verdicts: dict[EngineId, Verdict] = {}

    def put(self, candidate: Candidate) -> None:
        reason = ruled_out_by(candidate, None)
        self._verdicts[candidate.engine_id] = Verdict(candidate.engine_id, candidate.node_id, reason, 0)

    def remove(self, engine_id: EngineId) -> None:
        self._verdicts.pop(engine_id, None)

    def best(self, pin: NodeId | None, suspect: bool = False) -> Verdict | None:
        """The next one that can take a job; it is the last of the circle from now on."""
        verdict = next((verdict for verdict in self._verdicts.values() if verdict.ruled_out_by is None), None)
        if verdict is not None:
            del self._verdicts[verdict.engine_id]
            self._verdicts[verdict.engine_id] = verdict
        return verdict
