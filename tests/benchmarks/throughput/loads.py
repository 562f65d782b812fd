"""The loads that a run puts on the systems."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.benchmarks.load import ClosedLoop, Loop, OpenLoop
from tests.benchmarks.throughput import names

CLIENTS, SUSTAINED, OPEN, LONG_PROMPTS, LONG_ANSWERS = (
    "clients",
    "sustained",
    "open loop",
    "long prompts",
    "long answers",
)
OPEN_CLIENTS = 64
"""A share of the maximum is one of what vLLM's own server answers so many clients in a closed loop."""

_FEW_CLIENTS = (1, 64)
_TOKENS_PER_QUESTION = 13
_SUSTAINED = 15
"""So many times as long as the others."""


@dataclass(frozen=True)
class Load:
    """What is asked of each of `systems` for `seconds`: by `clients` in a closed loop, or, if there is a `share`, in
    an open loop at that share of the maximum."""

    part: str
    clients: int
    output_tokens: int
    seconds: float
    systems: tuple[str, ...]
    questions: int = 1
    share: float | None = None
    requests: int = ClosedLoop.requests

    @property
    def label(self) -> str:
        if self.share is not None:
            return f"{self.share:.0%} of the maximum"
        return "1 client" if self.clients == 1 else f"{self.clients} clients"

    @property
    def name(self) -> str:
        """The label, with the part unless it is the first."""
        return self.label if self.part == CLIENTS else f"{self.part}, {self.label}"

    def loop(self, name: str, round: int, maximum_per_s: float) -> Loop:
        """The requests of one window. `maximum_per_s` is what shares are taken of."""
        if self.share is not None:
            per_s = self.share * maximum_per_s
            return OpenLoop(per_s, self.output_tokens, self.seconds, seed=round, name=name, questions=self.questions)
        return ClosedLoop(self.clients, self.output_tokens, self.seconds, self.requests, name, self.questions)


def closed(
    clients: Sequence[int], output_tokens: int, seconds: float, requests: int, systems: Sequence[str]
) -> list[Load]:
    """One number of clients after the other, all systems."""
    return [
        Load(CLIENTS, number, output_tokens, seconds, tuple(systems), requests=requests) for number in sorted(clients)
    ]


def full(clients: Sequence[int], output_tokens: int, seconds: float, systems: Sequence[str]) -> list[Load]:
    """Everything that the comparison reports, of those systems that are there.

    Not every system is put under every load: the run would take hours. Those that are several times slower than the
    rest have few numbers of clients; loads of which only a ratio of two is wanted have these two.
    """

    def among(*wanted: str) -> tuple[str, ...]:
        return tuple(name for name in systems if name in wanted)

    quick = tuple(name for name in systems if name not in names.SLOW)
    by_clients = [
        Load(CLIENTS, number, output_tokens, seconds, tuple(systems) if number in _FEW_CLIENTS else quick)
        for number in sorted(clients)
    ]
    beside = among(names.VLLM, names.VLLM_ROUTER, names.INFERNET, names.INFERNET_CHAT)
    shapes = among(names.VLLM, names.VLLM_ROUTER, names.RAY_SERVE_LLM_TUNED, names.INFERNET)
    return [
        *by_clients,
        *(Load(OPEN, OPEN_CLIENTS, output_tokens, seconds, beside, share=share) for share in (0.5, 0.8)),
        Load(LONG_PROMPTS, 32, 64, seconds, shapes, questions=1000 // _TOKENS_PER_QUESTION),
        Load(LONG_ANSWERS, 16, 1024, seconds, among(names.VLLM, names.INFERNET)),
        Load(SUSTAINED, 32, 64, _SUSTAINED * seconds, among(names.VLLM, names.INFERNET)),
    ]
