"""A load that steps from nothing to ten times the usual and back, on one model."""

import random
from collections.abc import Callable, Iterator

from cluster.catalogue import Model, Replicas
from cluster.placement import Ranking
from cluster.simulation.machines import MachineKind, MachinePark
from cluster.simulation.results import Result
from cluster.simulation.served import Served
from cluster.simulation.simulation import Simulation, Terms
from cluster.simulation.sizing import ByRule
from cluster.simulation.speeds import Speed, Subject
from cluster.simulation.traffic import Request, Traffic
from cluster.timing import Timing

STEPS = ((0.0, 0.0), (600.0, 0.5), (1800.0, 5.0), (4200.0, 0.5), (5400.0, 0.0))
"""From when on so many jobs a second."""
LASTS_S = 6600.0
SPEED = Speed(slots=8, step_s=0.020, step_s_per_job=0.001, load_s=60.0)
MACHINE = MachineKind(boot_s=60.0, idle_s=120.0)


def step(seed: int) -> tuple[Traffic, Result]:
    """The traffic, and what the rules made of it."""
    rng = random.Random(seed)
    requests = [Request(at_s, 0, rng.randrange(20), 500, rng.randrange(400, 1200)) for at_s in _poisson(_rate, rng)]
    traffic = Traffic(["m"], [f"a{number}" for number in range(20)], requests)
    model = Model("m", gpus=2, replicas=Replicas(0, 50), engine={"max_num_seqs": SPEED.slots})
    park = MachinePark([MACHINE])
    served = Served(Subject(model, SPEED), ByRule(model.replicas, Timing().scaling_window_s), Ranking(), park)
    return traffic, Simulation(traffic, [served], park, Terms(sample_s=10.0)).run()


def _rate(at_s: float) -> float:
    return [rate for from_s, rate in STEPS if from_s <= at_s][-1]


def _poisson(rate: Callable[[float], float], rng: random.Random) -> Iterator[float]:
    """Arrivals at a rate that changes: those of the highest rate, thinned."""
    highest, at_s = max(rate for _, rate in STEPS), 0.0
    while (at_s := at_s + rng.expovariate(highest)) < LASTS_S:
        if rng.random() * highest < rate(at_s):
            yield at_s
