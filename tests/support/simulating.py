"""Small simulations for tests: one model on machines that come and go."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cluster.catalogue import Model, Replicas
from cluster.placement import Ranking
from cluster.simulation.machines import MachineKind, MachinePark
from cluster.simulation.placing import Placing
from cluster.simulation.results import Result
from cluster.simulation.served import Served
from cluster.simulation.simulation import Simulation, Terms
from cluster.simulation.sizing import ByRule, Sizing
from cluster.simulation.speeds import Speed, Subject
from cluster.simulation.traffic import Request, Traffic

# A step takes 0.1 s however many jobs run, and prompts take none: a job of 100 tokens takes 10 s.
EVEN = Speed(slots=4, prefill_tokens_per_s=1e12, step_s=0.1, step_s_per_job=0.0, load_s=30.0)
MACHINE = MachineKind(gpus=4, cpus=16.0, boot_s=60.0, idle_s=45.0)
START_S = MACHINE.boot_s + EVEN.load_s
WINDOW_S = 60.0
UP_TO_20 = Replicas(0, 20)


def jobs(number: int, at_s: float, output_tokens: int = 100, account: int = 0) -> list[Request]:
    """So many at once, each of which takes a tenth of a second per token."""
    return [Request(at_s, 0, account, 1, output_tokens)] * number


@dataclass
class Stage:
    """One model, `m`, with all that a simulation needs. `run` plays requests, which may come in any order."""

    replicas: Replicas = UP_TO_20
    speed: Speed = EVEN
    sizing: Sizing | None = None
    placing: Placing = field(default_factory=Ranking)
    terms: Terms = Terms()
    most_machines: int | None = None
    max_queue: int = 100_000
    gpus: int = 2

    def run(self, requests: Sequence[Request], until_s: float | None = None) -> Result:
        options = {"max_num_seqs": self.speed.slots}
        model = Model("m", gpus=self.gpus, replicas=self.replicas, max_queue=self.max_queue, engine=options)
        sizing = self.sizing or ByRule(self.replicas, WINDOW_S)
        park = MachinePark([MACHINE], self.most_machines)
        served = Served(Subject(model, self.speed), sizing, self.placing, park)
        ordered = sorted(requests, key=lambda request: request.arrived_s)
        accounts = [f"a{number}" for number in range(1 + max((r.account for r in ordered), default=0))]
        self.result = Simulation(Traffic(["m"], accounts, ordered), [served], park, self.terms).run(until_s)
        return self.result

    def sizes(self) -> list[tuple[float, int]]:
        return self.result.models["m"].sizes
