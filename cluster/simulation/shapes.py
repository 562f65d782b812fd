"""Traffic of the shapes that have been published, drawn from a seed.

What is taken from where, and how sure the numbers are:

- Lengths of prompts and answers: Azure's LLM inference traces of November 2023, of a coding and of a conversation
  service (Patel et al., "Splitwise: Efficient generative LLM inference using phase splitting", ISCA 2024; the CSV files
  are in the repository AzurePublicDataset). The paper gives the medians: 1,500 tokens of prompt and 13 of answer for
  code, 1,020 and 129 for conversation. The spread (log-normal) is of the order of what the files show, and so is the
  cut at some 7,400 tokens of prompt for code.
- Bursts: BurstGPT (Wang et al., arXiv 2401.17644) models the times between requests as Gamma, burstier than Poisson,
  and the lengths of requests as Zipf. The shape here, 0.25 to 0.7 (a coefficient of variation of 2 to 1.2), is of the
  order of it; so is the exponent of the lengths.
- The day: both show a cycle of day and night, and working days. Its height here is a choice.
- Which models and accounts are asked for most: Zipf, by choice.
"""

import heapq
import math
import random
from collections.abc import Iterator, Sequence
from itertools import accumulate

from msgspec import Struct

from cluster.simulation.traffic import Request, Traffic

DAY_S = 86_400.0
_SLOT_S = 300.0


class Lengths(Struct, frozen=True):
    """How long prompts and answers are: medians, spreads (of the logarithm) and the most, in tokens.

    With `zipf` prompts follow a power law of this exponent instead, from 10 tokens on.
    """

    prompt: float
    prompt_spread: float
    most_prompt: int
    output: float
    output_spread: float
    most_output: int
    zipf: float | None = None

    def draw(self, rng: random.Random) -> tuple[int, int]:
        if self.zipf is None:
            prompt = rng.lognormvariate(math.log(self.prompt), self.prompt_spread)
        else:
            prompt = 10.0 * rng.paretovariate(self.zipf - 1.0)
        output = rng.lognormvariate(math.log(self.output), self.output_spread)
        return max(1, min(self.most_prompt, round(prompt))), max(1, min(self.most_output, round(output)))

    def longer(self, factor: float, most_output: int) -> "Lengths":
        """The same, with answers so many times as long: those of models that reason before they answer."""
        return Lengths(
            self.prompt,
            self.prompt_spread,
            self.most_prompt,
            self.output * factor,
            self.output_spread,
            most_output,
            self.zipf,
        )


AZURE_CODE = Lengths(1500, 1.1, 7437, 13, 0.9, 1000)
AZURE_CONVERSATION = Lengths(1020, 0.9, 14_000, 129, 1.0, 1000)
BURSTGPT = Lengths(0, 0, 8192, 150, 1.0, 2000, zipf=1.5)
PUBLISHED = (AZURE_CODE, AZURE_CONVERSATION, BURSTGPT)


class Demand(Struct, frozen=True):
    """What one model is asked for: `jobs` in a day or so, how bursty, and when.

    `shape` is that of the Gamma distribution between jobs: 1 is Poisson, less is burstier. The rate swings by `swing`
    of its mean, highest at `peak_s`. With `hours` nobody asks outside these, in seconds of the day.
    """

    jobs: float
    lengths: Lengths
    shape: float = 0.5
    swing: float = 0.6
    peak_s: float = 15 * 3600.0
    hours: tuple[float, float] | None = None


def draw(demands: Sequence[Demand], accounts: int, seed: int, lasts_s: float = DAY_S) -> Traffic:
    """The traffic of all these models, named m000 and so on; the same for the same seed."""
    crowd = _Crowd(accounts)
    streams = [
        _stream(number, demand, crowd, random.Random(f"{seed}/{number}"), lasts_s)
        for number, demand in enumerate(demands)
    ]
    models = [f"m{number:03}" for number in range(len(demands))]
    return Traffic(models, [f"acct_{number:05}" for number in range(accounts)], heapq.merge(*streams))


class _Crowd:
    """Accounts, a few of which ask for much (Zipf), and which come back: a request is often followed by another."""

    def __init__(self, accounts: int) -> None:
        self._numbers = range(accounts)
        self._weights = list(accumulate(1.0 / (number + 1) for number in self._numbers))

    def draw(self, rng: random.Random, last: int | None) -> int:
        if last is not None and rng.random() < 0.5:
            return last
        return rng.choices(self._numbers, cum_weights=self._weights)[0]


def _stream(number: int, demand: Demand, crowd: _Crowd, rng: random.Random, lasts_s: float) -> Iterator[Request]:
    """One model's requests: Gamma in a time that runs as quickly as the day's rate."""
    rates = _rates(demand, rng, lasts_s)
    account: int | None = None
    slot, used = 0, 0.0  # how much of the slot's own jobs have passed
    while True:
        due = rng.gammavariate(demand.shape, 1.0 / demand.shape)
        while due >= rates[slot] - used:
            due -= rates[slot] - used
            slot, used = slot + 1, 0.0
            if slot == len(rates):
                return
        used += due
        account = crowd.draw(rng, account)
        yield Request((slot + used / rates[slot]) * _SLOT_S, number, account, *demand.lengths.draw(rng))


def _rates(demand: Demand, rng: random.Random, lasts_s: float) -> list[float]:
    """How many jobs each slot of five minutes has on average: the day's cycle, and some restlessness."""
    slots = math.ceil(lasts_s / _SLOT_S)
    raw = [_of_the_day(demand, slot * _SLOT_S % DAY_S) * rng.lognormvariate(-0.02, 0.2) for slot in range(slots)]
    total = sum(raw)
    return [demand.jobs * rate / total for rate in raw] if total else raw


def _of_the_day(demand: Demand, at_s: float) -> float:
    if demand.hours is not None and not demand.hours[0] <= at_s < demand.hours[1]:
        return 0.0
    return 1.0 + demand.swing * math.cos((at_s - demand.peak_s) / DAY_S * math.tau)
