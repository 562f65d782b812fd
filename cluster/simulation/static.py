"""What the rules are compared with: a fixed number of replicas of each model, all day."""

import heapq
from collections.abc import Sequence

from cluster.simulation.speeds import Subject
from cluster.simulation.traffic import Traffic


def allotted(traffic: Traffic, subjects: Sequence[Subject], gpus: float) -> list[int]:
    """So many GPUs, shared out among the models by somebody who knows the day's load of each.

    Every model that is asked for has one; the next always goes to the one whose replicas would be the busiest.
    """
    busy_s = [0.0] * len(subjects)
    for request in traffic:
        speed = subjects[request.model].speed
        busy_s[request.model] += speed.full_s(request.prompt_tokens, request.output_tokens) / speed.slots
    replicas = [1 if seconds else 0 for seconds in busy_s]
    left = gpus - sum(number * subject.model.gpus for number, subject in zip(replicas, subjects, strict=True))
    heap = [(-seconds, model) for model, seconds in enumerate(busy_s) if seconds]
    heapq.heapify(heap)
    while heap:
        _, model = heapq.heappop(heap)
        needs = subjects[model].model.gpus
        if needs <= left and replicas[model] < subjects[model].model.replicas.max:
            left -= needs
            replicas[model] += 1
            heapq.heappush(heap, (-busy_s[model] / replicas[model], model))
    return replicas
