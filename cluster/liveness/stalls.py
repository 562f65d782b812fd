"""Whether an engine that answers still generates. Pure.

Its event loop may be well while the thread that generates waits for a GPU that has fallen off the bus, or for another
rank that has. It looks ready for ever then, and as each of its jobs runs into its time limit, it gets the next one.
"""

from cluster.messages.machines import EngineReport
from cluster.timing import Timing

PREFILL_TOKENS_PER_S = 100.0
"""Slower than any engine worth having reads a prompt."""

# A step takes as long as it takes; no other takes so many times as long as the slowest before it.
_SLOWEST = 3.0
# Who is answered later than this is on a busy machine, where the engine may wait for a processor: that does not count.
_PROMPT_S = 0.5
# Who looks may be late itself: a look stands for so many heartbeats at most.
_LOOKS = 2.0


class Progress:
    """What was seen of the generating thread of one engine, from look to look."""

    def __init__(self, timing: Timing) -> None:
        self._stall_s = timing.stall_s
        # The first step after loading may compile what the others use.
        self._first_step_s = timing.hang_s
        self._longest_s = _LOOKS * timing.heartbeat_s
        self._looked_s: float | None = None
        self._last: EngineReport | None = None
        self._prefill_tokens = 0
        self._is_first_still = True
        self._slowest_s = 0.0
        self.stalled_s = 0.0
        """For how long the engine has made no step, though it had something to generate."""

    def stalls(self, report: EngineReport, asked_s: float, now_s: float) -> bool:
        """Take in what an engine that was asked at `asked_s` says. True once it is certain that it is stuck."""
        passed_s = 0.0 if self._looked_s is None else min(now_s - self._looked_s, self._longest_s)
        last, self._last, self._looked_s = self._last, report, now_s
        if last is None or not (last.generating and report.generating) or report.steps != last.steps:
            self._go_on(report)
            return False
        if self._is_first_still:
            # A long prompt may have come between the last step and this look. Those that come later wait behind it.
            self._prefill_tokens = max(self._prefill_tokens, report.prefill_tokens)
            self._is_first_still = False
        if now_s - asked_s <= _PROMPT_S:
            self.stalled_s += passed_s
        return self.stalled_s >= self._limit_s(report)

    def _go_on(self, report: EngineReport) -> None:
        self._slowest_s = max(self._slowest_s, self.stalled_s)
        self.stalled_s = 0.0
        self._prefill_tokens = report.prefill_tokens
        self._is_first_still = True

    def _limit_s(self, report: EngineReport) -> float:
        least_s = self._stall_s if report.steps else self._first_step_s
        return max(least_s, _SLOWEST * self._slowest_s) + self._prefill_tokens / PREFILL_TOKENS_PER_S
