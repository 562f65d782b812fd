"""Whether a process that says nothing hangs, or only waits for its turn. Pure.

A process that is silent because the machine is busy must not be killed: it would be no better off as a new one, and the
machine worse. What tells the two apart is what the kernel knows: one that hangs neither uses the processor nor stands
in line for it.
"""

from msgspec import Struct
from msgspec.structs import replace

from cluster.timing import Timing

# Less than this part of a processor, and a thread does not work: it hangs, or has nothing to do.
_IDLE = 0.02
# Less than this part of the time in line for a processor, summed over its threads, and it is not what they wait for.
_UNHINDERED = 0.25
# Who looks is late itself on a busy machine, and after the machine was paused: a look stands for so many at most.
_LOOKS = 2


class Vitals(Struct, frozen=True):
    """What the kernel says of a process at one moment. Times add up since it began.

    `busy_s` is the processor time of the thread that answers, or of all where it is not known which one that is.
    `queued_s` is the time that its threads stood in line for a processor; None where the kernel does not tell.
    `hindered` says that at this moment a thread stands in line, or waits for a disk or for memory.
    """

    pid: int
    born_s: float
    stopped: bool
    busy_s: float
    queued_s: float | None
    hindered: bool


def seen_from(watching: Vitals | None, watched: Vitals) -> Vitals:
    """What is seen of a process by another one, which has to get its turn, too, before it can hear an answer."""
    if watching is None or watching.queued_s is None or watched.queued_s is None:
        return watched
    return replace(watched, queued_s=watched.queued_s + watching.queued_s)


class Silence:
    """What was seen of one actor since it was last heard."""

    def __init__(self, timing: Timing = Timing()) -> None:
        self._timing = timing
        self.end()

    def end(self) -> None:
        """It was heard, or is another process now."""
        self._looked: tuple[Vitals, float] | None = None

    def hangs(self, vitals: Vitals, now_s: float) -> bool:
        """Take in what is seen now. True once it is certain that the process will not answer by itself."""
        before, self._looked = self._looked, (vitals, now_s)
        if before is None or (before[0].pid, before[0].born_s) != (vitals.pid, vitals.born_s):
            self._stopped_s = self._stuck_s = 0.0
            return False
        last, looked_s = before
        passed_s = min(now_s - looked_s, _LOOKS * self._timing.pulse_s)
        self._stopped_s = self._stopped_s + passed_s if last.stopped and vitals.stopped else 0.0
        self._stuck_s = self._stuck_s + passed_s if _stuck(last, vitals, passed_s) else 0.0
        return self._stopped_s >= self._timing.stopped_s or self._stuck_s >= self._timing.stuck_s


def _stuck(before: Vitals, now: Vitals, passed_s: float) -> bool:
    """Whether the thread that answers did nothing between two looks, though nothing kept it from working."""
    if before.queued_s is None or now.queued_s is None or before.hindered or now.hindered:
        return False
    idle = now.busy_s - before.busy_s <= _IDLE * passed_s
    return idle and now.queued_s - before.queued_s <= _UNHINDERED * passed_s
