"""How a model's replicas are replaced whose settings have changed: while the ones before go on serving. Pure.

There is one replica more than wanted while some are outdated. As soon as a new one is ready that is not needed, an
outdated one retires. Where there is no room for one more, an outdated one makes it, one at a time, and none while a new
one has failed to load: what serves is not given up for what may not.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from cluster.catalogue import Model
from cluster.fleet import room
from cluster.fleet.machine import Machine
from cluster.fleet.replica import Replica
from cluster.ids import EngineId

if TYPE_CHECKING:
    from cluster.fleet.served_model import ServedModel


class Rolling:
    """Looks after the outdated replicas of one model. `outdated` are those that are to stay until they are replaced."""

    def __init__(self, served: "ServedModel") -> None:
        self._served = served
        self.outdated: dict[EngineId, Replica] = {}
        self._had_ready = 0
        """So many were ready when one last made room."""

    # How many -----------------------------------------------------------------------------------------------------

    @property
    def missing(self) -> int:
        """How many replicas are to be there besides those that are wanted, once all of these are ready."""
        return self.most_besides if self.ready >= self._served.scaling.wanted else 0

    @property
    def most_besides(self) -> int:
        """How many replicas there may be besides those that are wanted."""
        return 1 if self.outdated and self._served.scaling.wanted else 0

    def unneeded(self) -> list[Replica]:
        """The outdated replicas that may retire: as many as are ready beyond those wanted, and all that still start."""
        starting = [replica for replica in self.outdated.values() if replica.state != "ready"]
        ready = sorted(self._serving(), key=lambda replica: len(replica.tokens_of))
        return starting + ready[: max(self.ready - self._served.scaling.wanted, 0)]

    @property
    def ready(self) -> int:
        """How many replicas are ready of those that are to stay."""
        return sum(replica.state == "ready" for replica in self._served.counted.values())

    def _serving(self) -> list[Replica]:
        return [replica for replica in self.outdated.values() if replica.state == "ready"]

    # Where there is no room ---------------------------------------------------------------------------------------

    def make_room(self, now_s: float, alone: bool = False) -> bool:
        """Whether an outdated replica ends for a new one, or does so already. `alone`: its own place has to do."""
        if any(self._retiring()):
            return True
        if not self._may_make_room():
            return False
        chosen = min(self._in_the_way(alone), key=lambda replica: len(replica.tokens_of), default=None)
        if chosen is None:
            return False
        self._had_ready = self.ready
        chosen.make_room(now_s)
        return True

    def _retiring(self) -> Iterator[Replica]:
        there = self._served.replicas.values()
        return (replica for replica in there if replica.is_outdated and replica.retiring_since_s is not None)

    def _may_make_room(self) -> bool:
        """The last one that did has been replaced, and nothing starts, comes, or has failed to load."""
        if self.ready < min(self._had_ready, self._served.scaling.wanted):
            return False
        starts = any(replica.state != "ready" for replica in self._served.counted.values())
        comes = any(not seat.is_stuck for seat in self._served.waiting.values())
        return not (starts or comes or self._served.backoff.failures)

    def _in_the_way(self, alone: bool) -> Collection[Replica]:
        """Those whose place is enough for a new one; or, where none is, those that share a place which is."""
        model, outdated = self._served.model, self._serving()
        if alone:
            return [r for r in outdated if room.is_enough(model, *r.booked) and _are_enough(model, r, room.takes)]
        by_itself = [r for r in outdated if _are_enough(model, r, partial(room.fits, without=[r]))]
        return by_itself or [
            r for r in outdated if _are_enough(model, r, partial(room.fits, without=_beside(r, self.outdated)))
        ]

    # What clients are told ----------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """How far it is, in words; nothing where all are as wanted."""
        ready = [replica for replica in self._served.replicas.values() if replica.state == "ready"]
        outdated = [replica for replica in ready if replica.is_outdated]
        if not outdated:
            return ""
        of_all = f"{len(outdated)} of {len(ready)} {'replica' if len(ready) == 1 else 'replicas'}"
        told = f"{of_all} {_why(outdated)}"
        return f"{told}; one makes room for the next" if any(r.makes_room for r in outdated) else told


def _why(outdated: Collection[Replica]) -> str:
    if all(replica.is_outgrown for replica in outdated):
        return f"{'was' if len(outdated) == 1 else 'were'} made without room for an adapter"
    return f"{'is' if len(outdated) == 1 else 'are'} of the settings before"


def _are_enough(model: Model, replica: Replica, has_room: Callable[[Model, Machine], bool]) -> bool:
    """Whether the machines of this replica are as many as one of the model needs, and have room for it."""
    return sum(has_room(model, machine) for machine in replica.machines) >= model.machines


def _beside(replica: Replica, outdated: Mapping[EngineId, Replica]) -> list[Replica]:
    return [other for other in outdated.values() if other.node is replica.node]
