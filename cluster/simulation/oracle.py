"""What somebody would start who knew the traffic: the fewest replicas that carry it, started in time.

The work that arrives is spread over short slots of time, as it would be done if nobody waited. Each slot needs the
replicas that carry its mean, so that a job may have to wait for about a slot. A replica that would be missed again
before another could be started stays; one that is needed is ordered as long before as a start takes.
"""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

from cluster.simulation.speeds import Speed, Subject
from cluster.simulation.traffic import Traffic

Steps = list[tuple[float, int]]
"""From which second on, how many replicas."""


def plan(traffic: Traffic, subjects: Sequence[Subject], boot_s: float, slot_s: float = 10.0) -> list[Steps]:
    """The steps of each model. A machine takes `boot_s` until it is there."""
    return [
        _steps(_wanted(busy, subject.speed, boot_s, slot_s), slot_s)
        for busy, subject in zip(busy_slots(traffic, subjects, slot_s), subjects, strict=True)
    ]


def busy_slots(traffic: Traffic, subjects: Sequence[Subject], slot_s: float) -> list[list[float]]:
    """How many jobs each model has in each slot of time, on average, if none waits and engines are full."""
    slots = [0] * len(subjects)
    for request in traffic:
        ends_s = request.arrived_s + _full_s(
            subjects[request.model].speed, request.prompt_tokens, request.output_tokens
        )
        slots[request.model] = max(slots[request.model], int(ends_s / slot_s) + 1)
    busy = [[0.0] * number for number in slots]
    changes = [[0] * (number + 1) for number in slots]
    for request in traffic:
        began = request.arrived_s / slot_s
        ended = began + _full_s(subjects[request.model].speed, request.prompt_tokens, request.output_tokens) / slot_s
        first, last = int(began), int(ended)
        jobs = busy[request.model]
        if first == last:
            jobs[first] += ended - began
            continue
        jobs[first] += first + 1 - began
        jobs[last] += ended - last
        changes[request.model][first + 1] += 1
        changes[request.model][last] -= 1
    for jobs, change in zip(busy, changes, strict=True):
        whole = 0
        for slot in range(len(jobs)):
            whole += change[slot]
            jobs[slot] += whole
    return busy


def _full_s(speed: Speed, prompt_tokens: int, output_tokens: int) -> float:
    return speed.full_s(prompt_tokens, output_tokens)


def _wanted(busy: list[float], speed: Speed, boot_s: float, slot_s: float) -> list[int]:
    start = -int(-(boot_s + speed.load_s) // slot_s)
    # Room on both sides: what the first jobs need is ordered at once, and nothing stays after the last.
    needed = [0] * start + [-int(-jobs // speed.slots) for jobs in busy] + [0] * (2 * start + 1)
    kept = _least_ahead(_most_behind(needed, start), start)
    ordered = _most_ahead(kept, start)
    return [max(ordered[: start + 1], default=0), *ordered[start + 1 :]]


def _steps(wanted: list[int], slot_s: float) -> Steps:
    changed = [(slot, after) for slot, (before, after) in enumerate(pairwise([0, *wanted])) if before != after]
    return [(slot * slot_s, replicas) for slot, replicas in changed]


def _most_behind(values: list[int], width: int) -> list[int]:
    """For each place the greatest of it and the `width` before it."""
    best: deque[int] = deque()
    greatest = []
    for index, value in enumerate(values):
        while best and values[best[-1]] <= value:
            best.pop()
        best.append(index)
        if best[0] < index - width:
            best.popleft()
        greatest.append(values[best[0]])
    return greatest


def _most_ahead(values: list[int], width: int) -> list[int]:
    return _most_behind(values[::-1], width)[::-1]


def _least_ahead(values: list[int], width: int) -> list[int]:
    return [-value for value in _most_ahead([-value for value in values], width)]
