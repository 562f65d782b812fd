"""One window: the load on one system, with what all processes used meanwhile."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from tests.benchmarks import load, processes, report
from tests.benchmarks.dialects import Dialect, Jobs, Usage
from tests.benchmarks.throughput.candidates import Candidate
from tests.benchmarks.throughput.loads import Load

PAUSE_S = 1.0
"""Between windows. OpenMP's threads spin for a while after vLLM's last step."""


@dataclass(frozen=True)
class Quantiles:
    """Of the latencies of one window, in seconds."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class Measurement:
    """One window of one system. Processor time is in seconds.

    The system's is that of its `model` processes and of the rest, its `control` plane. `control_bytes` is the most that
    the control plane held at once and shared with nobody.
    """

    round: int
    system: str
    load: Load
    requests_per_s: float | None
    answers: int
    prompt_tokens: int
    output_tokens: int
    wall_s: float
    events_per_answer: float
    model_cpu_s: float
    control_cpu_s: float
    idle_cpu_s: float
    client_cpu_s: float
    else_cpu_s: float
    control_bytes: int
    first_text: Quantiles
    gap: Quantiles

    @property
    def tokens_per_s(self) -> float:
        return self.output_tokens / self.wall_s

    @property
    def answers_per_s(self) -> float:
        return self.answers / self.wall_s


class Meter:
    """Puts loads on systems, of which all but one idle. With `exact`, every answer must be as long as was asked for."""

    def __init__(self, candidates: Sequence[Candidate], exact: bool) -> None:
        self._candidates = candidates
        self._exact = exact
        self._windows = 0

    def warm_up(self, candidate: Candidate, clients: int, seconds: float) -> None:
        """What is done at first use must not be in a window."""
        load.run(candidate.dialect, load.ClosedLoop(clients, 64, seconds, name=self._next_name()))

    def measure(self, candidate: Candidate, task: Load, round: int, maximum_per_s: float) -> Measurement:
        """Raises load.RequestFailed when a request fails or an answer is not what it should be."""
        if task.share and not maximum_per_s:
            raise load.RequestFailed("there is no maximum to take a share of")
        time.sleep(PAUSE_S)
        watched = self._watched(candidate)
        peak = _Peak(watched["control"])
        loop = task.loop(self._next_name(), round, maximum_per_s)
        window = load.run(candidate.dialect, loop, watched, peak.look)
        if not window.answers:
            raise load.RequestFailed("no request fell into the window: it was too short")
        usages = _usages(candidate.dialect, window.answers)
        if self._exact:
            _require_length(usages, task.output_tokens)
        return Measurement(
            round=round,
            system=candidate.name,
            load=task,
            requests_per_s=task.share and task.share * maximum_per_s,
            answers=len(window.answers),
            prompt_tokens=sum(usage.prompt_tokens for usage in usages),
            output_tokens=sum(usage.completion_tokens for usage in usages),
            wall_s=window.wall_s,
            events_per_answer=sum(answer.events for answer in window.answers) / len(window.answers),
            model_cpu_s=window.cpu_s["model"],
            control_cpu_s=window.cpu_s["control"],
            idle_cpu_s=window.cpu_s["idle"],
            client_cpu_s=window.cpu_s["client"],
            else_cpu_s=window.cpu_s["else"],
            control_bytes=peak.bytes,
            first_text=_quantiles([answer.first_text_s for answer in window.answers]),
            gap=_quantiles([gap_s for answer in window.answers for gap_s in answer.gaps_s]),
        )

    def _watched(self, candidate: Candidate) -> dict[str, list[int]]:
        own = {process.pid: process for process in candidate.processes()}
        all_pids = {process.pid for each in self._candidates for process in each.processes()}
        model = [pid for pid, process in own.items() if processes.holds_model(process)]
        return {"model": model, "control": list(own.keys() - model), "idle": list(all_pids - own.keys())}

    def _next_name(self) -> str:
        self._windows += 1
        return f"{self._windows:04d}"


class _Peak:
    """The most memory that processes held whenever they were looked at."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self.bytes = 0
        self.look()

    def look(self) -> None:
        self.bytes = max(self.bytes, processes.private_bytes(self._pids))


def _usages(dialect: Dialect, answers: Sequence[load.Answer]) -> list[Usage]:
    """The tokens of each answer, as the server counts them."""
    if isinstance(dialect, Jobs):
        return _asked(dialect, answers)
    usages = [answer.usage for answer in answers if answer.usage]
    if len(usages) < len(answers):
        raise load.RequestFailed(f"{len(answers) - len(usages)} of {len(answers)} streams do not tell their usage")
    return usages


def _asked(dialect: Jobs, answers: Sequence[load.Answer]) -> list[Usage]:
    """The usage that our stream does not tell: asked for job by job, when the window is over."""
    with httpx.Client() as http:
        results = [dialect.result(http, answer.id) for answer in answers]
    for answer, (text, _) in zip(answers, results, strict=True):
        if text != answer.text:
            raise load.RequestFailed(f"the stream of {answer.id} is not the text of its result")
    return [usage for _, usage in results]


def _require_length(usages: Sequence[Usage], wanted: int) -> None:
    counted = [usage.completion_tokens for usage in usages]
    if wrong := [tokens for tokens in counted if tokens != wanted]:
        raise load.RequestFailed(f"{len(wrong)} of {len(counted)} answers do not have {wanted} tokens: {wrong[:5]} ...")


def _quantiles(values_s: Sequence[float]) -> Quantiles:
    ordered = sorted(values_s)
    return Quantiles(*(report.quantile(ordered, share) for share in (0.5, 0.95, 0.99)))
