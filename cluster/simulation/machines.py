"""Machines that come when a replica has no place, and go when they have been empty for a while.

A replica's place is one placement group: all its GPUs on one machine. It goes to the machine that has the least left
once it is there, so that others become empty. A machine is paid for from the moment it is asked for.
"""

from collections.abc import Sequence

from msgspec import Struct

from cluster.catalogue import Model
from cluster.ids import NodeId


class MachineKind(Struct, frozen=True):
    """A machine that can be had. `boot_s` until it has joined; it is let go after `idle_s` without a replica."""

    gpus: int = 8
    cpus: float = 96.0
    boot_s: float = 60.0
    idle_s: float = 120.0

    def fits(self, model: Model) -> bool:
        """Whether an empty one has room for a replica."""
        return model.gpus <= self.gpus and model.cpus <= self.cpus


class SimulatedMachine:
    """A machine that is there or on its way."""

    def __init__(self, number: int, kind: MachineKind, now_s: float) -> None:
        self.id = NodeId(f"machine-{number:05}")
        self.kind = kind
        self.began_s = now_s
        self.joined_s = now_s + kind.boot_s
        self.empty_since_s: float | None = None
        self.gpus_free = kind.gpus
        self.cpus_free = kind.cpus
        self.replicas = 0

    def room_left(self, model: Model) -> tuple[int, float] | None:
        """What would be free beside another replica of this model; None where there is no room for it."""
        gpus, cpus = self.gpus_free - model.gpus, self.cpus_free - model.cpus
        return (gpus, cpus) if gpus >= 0 and cpus >= 0 else None

    def seat(self, model: Model) -> None:
        self.gpus_free -= model.gpus
        self.cpus_free -= model.cpus
        self.replicas += 1
        self.empty_since_s = None

    def leave(self, model: Model, now_s: float) -> None:
        self.gpus_free += model.gpus
        self.cpus_free += model.cpus
        self.replicas -= 1
        if not self.replicas:
            self.empty_since_s = now_s


class MachinePark:
    """All machines that there are, and what they have cost. `most` is how many there may be at once."""

    def __init__(self, kinds: Sequence[MachineKind], most: int | None = None) -> None:
        self._kinds = sorted(kinds, key=lambda kind: (kind.gpus, kind.cpus))
        self._most = most
        self._machines: dict[NodeId, SimulatedMachine] = {}
        self._began = 0
        self._gpu_s = 0.0

    def __len__(self) -> int:
        return len(self._machines)

    @property
    def gpus(self) -> int:
        """Of all machines that are there or on their way."""
        return sum(machine.kind.gpus for machine in self._machines.values())

    def ever_fits(self, model: Model) -> bool:
        """Whether there is a kind of machine that a replica of this model fits on."""
        return any(kind.fits(model) for kind in self._kinds)

    def seat(self, model: Model, now_s: float) -> SimulatedMachine | None:
        """A place for a replica, on a new machine if need be; None when there may be no more."""
        machine = self._fullest(model) or self._new(model, now_s)
        if machine is not None:
            machine.seat(model)
        return machine

    def let_go(self, now_s: float) -> None:
        """Machines that have been empty for long go."""
        for machine in [machine for machine in self._machines.values() if _is_idle(machine, now_s)]:
            self._gpu_s += machine.kind.gpus * (now_s - machine.began_s)
            del self._machines[machine.id]

    def gpu_s(self, now_s: float) -> float:
        """The GPU seconds of all machines so far, from the moment that each was asked for."""
        return self._gpu_s + sum(m.kind.gpus * (now_s - m.began_s) for m in self._machines.values())

    def _fullest(self, model: Model) -> SimulatedMachine | None:
        """Of the machines with room, the one with the least left; of equals, the one that is there first."""
        best: tuple[int, float, float, str] | None = None
        fullest: SimulatedMachine | None = None
        for machine in self._machines.values():
            if machine.gpus_free >= model.gpus and (left := machine.room_left(model)) is not None:
                place = (*left, machine.joined_s, machine.id)
                if best is None or place < best:
                    best, fullest = place, machine
        return fullest

    def _new(self, model: Model, now_s: float) -> SimulatedMachine | None:
        kind = next((kind for kind in self._kinds if kind.fits(model)), None)
        if kind is None or (self._most is not None and len(self._machines) >= self._most):
            return None
        self._began += 1
        machine = SimulatedMachine(self._began, kind, now_s)
        self._machines[machine.id] = machine
        return machine


def _is_idle(machine: SimulatedMachine, now_s: float) -> bool:
    return machine.empty_since_s is not None and now_s - machine.empty_since_s >= machine.kind.idle_s
