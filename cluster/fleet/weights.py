"""Where a model's weights are already: an engine starts there without loading them from elsewhere. Pure."""

from collections.abc import Iterable

from cluster.catalogue import Model
from cluster.fleet import room
from cluster.fleet.machine import Machine
from cluster.ids import NodeId


def preferred(model: Model, machines: Iterable[Machine]) -> tuple[NodeId, ...]:
    """The machines with this model's weights that are large enough for an engine of it. None where all have them.

    Which of them has room at the moment is not asked here: others than models hold something too.
    """
    possible = [machine for machine in machines if room.is_large_enough(model, machine)]
    having = sorted(machine.id for machine in possible if model.id in machine.weights)
    return tuple(having) if len(having) < len(possible) else ()
