"""Time as a process lives it: what passes while it stands still is nobody's silence."""


class AttendedTime:
    """Seconds of a clock that never steps, without those in which this process stood still.

    A machine may be paused, its memory swapped out, an event loop held up. Who is back looks at the clock before the
    messages that wait in its inbox, and would take everybody for dead. Something happens here every `step_s` at least:
    what is longer than that by more than `late_s` was such a gap.
    """

    def __init__(self, step_s: float, late_s: float) -> None:
        self._step_s = step_s
        self._late_s = late_s
        self._last_s: float | None = None
        self._skipped_s = 0.0

    def at(self, now_s: float) -> float:
        """The time at which the clock shows `now_s`. To be asked in the order of time."""
        gap_s = 0.0 if self._last_s is None else now_s - self._last_s
        if gap_s > self._step_s + self._late_s:
            self._skipped_s += gap_s
        self._last_s = now_s
        return now_s - self._skipped_s
