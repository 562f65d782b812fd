"""What a simulation has measured."""

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec import Struct


class Moment(Struct, frozen=True):
    """How things stood: machines and GPUs on their way included, GPUs that replicas hold, jobs."""

    at_s: float
    machines: int
    gpus: int
    gpus_held: int
    replicas: int
    ready: int
    waiting: int
    running: int


@dataclass
class ModelResult:
    """Of one model: how long each job waited that began, in its order, and why others did not."""

    waits_s: "array[float]" = field(default_factory=lambda: array("d"))
    refused: Counter[str] = field(default_factory=Counter)
    late: int = 0
    """How many ended after their time, which a running system would have ended before."""
    starts: int = 0
    gpu_hours: float = 0.0
    sizes: list[tuple[float, int]] = field(default_factory=list)
    """From which second on there were how many replicas."""

    def most_replicas(self) -> int:
        return max((replicas for _, replicas in self.sizes), default=0)


@dataclass
class Result:
    """Of a whole run. `gpu_hours` are those that replicas held, `machine_gpu_hours` those of all machines."""

    models: dict[str, ModelResult]
    moments: list[Moment] = field(default_factory=list)
    machine_gpu_hours: float = 0.0
    ended_s: float = 0.0
    completed: int = 0
    moved: int = 0
    """How often a job went on in another engine, because its own was to end."""

    @property
    def gpu_hours(self) -> float:
        return sum(model.gpu_hours for model in self.models.values())

    @property
    def starts(self) -> int:
        return sum(model.starts for model in self.models.values())

    def refused(self) -> Counter[str]:
        return sum((model.refused for model in self.models.values()), Counter())

    def waits_s(self) -> list[float]:
        """How long all jobs waited that began, the shortest first."""
        return sorted(wait_s for model in self.models.values() for wait_s in model.waits_s)

    def peak(self) -> Moment:
        """When there were the most machines."""
        return max(self.moments, key=lambda moment: moment.machines)


def quantile(ascending: list[float], share: float) -> float:
    """The value that this share of them does not exceed; 0 of none."""
    if not ascending:
        return 0.0
    return ascending[min(len(ascending) - 1, max(0, -int(-share * len(ascending) // 1) - 1))]


def jain(shares: Iterable[float]) -> float:
    """Jain's index of fairness: 1 where all have the same, 1/n where one has all."""
    numbers = list(shares)
    squares = sum(number * number for number in numbers)
    return sum(numbers) ** 2 / (len(numbers) * squares) if squares else 1.0
