"""An engine of one model that accounts compete for, in steps of one token for each job that runs. No time passes."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cluster.ids import AccountId, JobId, KeyId
from cluster.messages.work import Job, Sampling
from cluster.queue import JobQueue, LaneId, Waiting
from cluster.shares import OUTPUT_WEIGHT, PROMPT_WEIGHT

MODEL = "m"
LANE = LaneId(MODEL)


@dataclass
class Arrival:
    """A job that comes at this step, with so many tokens to read and to write."""

    step: int
    account: str
    output_tokens: int
    prompt_tokens: int = 10


@dataclass
class Done:
    """A job that has been served: when it came, began and ended."""

    account: str
    came: int
    began: int
    ended: int

    @property
    def took(self) -> int:
        return self.ended - self.came


@dataclass
class Engine:
    """Serves what arrives, taking from the queue whenever one of its slots is free."""

    arrivals: Iterable[Arrival]
    slots: int
    in_order_of_arrival: bool = False
    """As if all belonged to one account: first come first served."""
    weights: Mapping[AccountId, int] = field(default_factory=dict)
    served: list[Counter[str]] = field(default_factory=list)
    """What each account had been served by the end of each step, in weighted tokens."""
    done: list[Done] = field(default_factory=list)

    def run(self, steps: int) -> "Engine":
        queue = JobQueue()
        queue.weigh(self.weights)
        coming = sorted(self.arrivals, key=lambda arrival: arrival.step)
        by_id: dict[JobId, Arrival] = {}
        left: dict[JobId, int] = {}
        began: dict[JobId, int] = {}
        total: Counter[str] = Counter()
        for step in range(steps):
            while coming and coming[0].step <= step:
                arrival = coming.pop(0)
                job = self._job(len(by_id), arrival)
                by_id[job.id] = arrival
                queue.push(LANE, Waiting(job))
            while len(left) < self.slots and (waiting := queue.pop(LANE)) is not None:
                arrival = by_id[waiting.job.id]
                left[waiting.job.id], began[waiting.job.id] = arrival.output_tokens, step
                queue.charge(MODEL, waiting.job.account_id, prompt_tokens=arrival.prompt_tokens)
                total[arrival.account] += PROMPT_WEIGHT * arrival.prompt_tokens
            for job_id in list(left):
                arrival = by_id[job_id]
                left[job_id] -= 1
                queue.charge(MODEL, self._account(arrival), output_tokens=1)
                total[arrival.account] += OUTPUT_WEIGHT
                if not left[job_id]:
                    del left[job_id]
                    self.done.append(Done(arrival.account, arrival.step, began[job_id], step + 1))
            self.served.append(total.copy())
        return self

    def between(self, begin: int, end: int) -> Counter[str]:
        """What each account was served in these steps."""
        before = self.served[begin - 1] if begin else Counter[str]()
        return Counter({account: tokens - before[account] for account, tokens in self.served[end - 1].items()})

    def _account(self, arrival: Arrival) -> AccountId:
        return AccountId("everybody" if self.in_order_of_arrival else arrival.account)

    def _job(self, number: int, arrival: Arrival) -> Job:
        return Job(
            id=JobId(f"job_{number:06}"),
            account_id=self._account(arrival),
            key_id=KeyId("key"),
            model=MODEL,
            messages=(),
            sampling=Sampling(max_tokens=arrival.output_tokens),
            created_ms=0,
            deadline_ms=0,
        )


def jain(shares: Iterable[float]) -> float:
    """Jain's index of fairness: 1 where all have the same, 1/n where one has all."""
    numbers = list(shares)
    squares = sum(number * number for number in numbers)
    return sum(numbers) ** 2 / (len(numbers) * squares) if squares else 1.0
