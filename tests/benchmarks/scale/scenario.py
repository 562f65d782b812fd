"""The system that is simulated: 1,000 machines, 8,000 GPUs, 200 models, 10,000 accounts, one day."""

import random
from dataclasses import dataclass

from cluster.catalogue import Model, Replicas
from cluster.simulation.machines import MachineKind
from cluster.simulation.shapes import DAY_S, PUBLISHED, Demand, draw
from cluster.simulation.speeds import Speed, Subject
from cluster.simulation.traffic import Traffic

MACHINES = 1_000
MACHINE = MachineKind(gpus=8, cpus=96.0, boot_s=60.0, idle_s=120.0)
MODELS = 200
ACCOUNTS = 10_000
JOBS = 1_000_000
LONGER = 32.0
MOST_TOKENS = 16_000
"""Answers are so many times as long as those published, up to MOST_TOKENS, and a replica runs few at once: to fill
thousands of GPUs with short ones would take a hundred times as many jobs, which nobody can simulate in minutes. Fewer
and longer jobs make the load of a model more restless, not less."""

# A replica's GPUs, its speed, and how many of the models are like that. Of the order of what vLLM does on GPUs of the
# H100's generation with models of 8, 32, 70 and several hundred billion parameters.
_SIZES = (
    (1, Speed(slots=4, prefill_tokens_per_s=20_000, step_s=0.010, step_s_per_job=0.001, load_s=60), 80),
    (2, Speed(slots=4, prefill_tokens_per_s=12_000, step_s=0.015, step_s_per_job=0.002, load_s=80), 60),
    (4, Speed(slots=4, prefill_tokens_per_s=10_000, step_s=0.020, step_s_per_job=0.003, load_s=100), 40),
    (8, Speed(slots=4, prefill_tokens_per_s=8_000, step_s=0.030, step_s_per_job=0.004, load_s=120), 20),
)


@dataclass(frozen=True)
class Scenario:
    traffic: Traffic
    subjects: list[Subject]


def scenario(seed: int, jobs: int = JOBS, models: int = MODELS, lasts_s: float = DAY_S) -> Scenario:
    """The models and a day of their traffic; the same for the same seed."""
    rng = random.Random(f"{seed}/models")
    kinds = [(gpus, speed) for gpus, speed, number in _SIZES for _ in range(number * models // MODELS)]
    # Those that most ask for are rather large ones: drawn in turn, with weights that are their GPUs.
    kinds.sort(key=lambda kind: rng.random() ** (1.0 / kind[0]), reverse=True)
    popularity = [1.0 / (rank + 1) for rank in range(len(kinds))]
    demands = [_demand(jobs * share / sum(popularity), rng) for share in popularity]
    subjects = [
        Subject(
            Model(
                id=f"m{number:03}",
                gpus=gpus,
                cpus=4.0,
                replicas=Replicas(min=0, max=1000),
                engine={"max_num_seqs": speed.slots},
            ),
            speed,
        )
        for number, (gpus, speed) in enumerate(kinds)
    ]
    return Scenario(draw(demands, ACCOUNTS, seed, lasts_s), subjects)


def _demand(jobs: float, rng: random.Random) -> Demand:
    """One of the published kinds, by day and night or in office hours only."""
    office = rng.random() < 0.2
    return Demand(
        jobs=jobs,
        lengths=rng.choice(PUBLISHED).longer(LONGER, MOST_TOKENS),
        shape=rng.uniform(0.25, 0.7),
        swing=rng.uniform(0.4, 0.8),
        peak_s=rng.gauss(15.0, 1.5) * 3600,
        hours=(8 * 3600.0, 19 * 3600.0) if office else None,
    )
