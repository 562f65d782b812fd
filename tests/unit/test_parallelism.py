"""How a replica of vLLM is split over GPUs and machines, and what cannot be meant."""

from typing import Any

import pytest

from cluster.catalogue import Model
from cluster.errors import ConfigError
from cluster.parallelism import Split, contradictions, split
from cluster.settings.checks import Value
from cluster.settings.schema import settings


def model(gpus: int, machines: int, **engine: Any) -> Model:
    return Model(id="m", source="s", gpus=gpus, machines=machines, engine=engine)


@pytest.mark.parametrize(
    ("gpus", "machines", "engine", "expected"),
    [
        (1, 1, {}, (1, 1)),
        (4, 1, {}, (4, 1)),
        (4, 1, {"pipeline_parallel_size": 2}, (2, 2)),
        (8, 2, {}, (8, 2)),
        (0, 2, {}, (1, 2)),
        (8, 2, {"tensor_parallel_size": 16}, (16, 1)),
        (8, 2, {"tensor_parallel_size": 4}, (4, 4)),
        (8, 2, {"pipeline_parallel_size": 4}, (4, 4)),
        (8, 2, {"prefill_context_parallel_size": 2}, (4, 2)),
        (0, 2, {"pipeline_parallel_size": 4}, (1, 4)),
    ],
)
def test_tensors_are_split_within_a_machine_and_layers_between_machines(
    gpus: int, machines: int, engine: dict[str, Any], expected: tuple[int, int]
) -> None:
    subject = model(gpus, machines, **engine)
    assert split(subject) == Split(*expected)
    assert list(contradictions(subject)) == []


@pytest.mark.parametrize(
    ("gpus", "engine", "option", "reason"),
    [
        (8, {"nnodes": 2}, "nnodes", "follows from machines"),
        (8, {"distributed_executor_backend": "ray"}, "distributed_executor_backend", "follows from machines"),
        (8, {"data_parallel_size": 2}, "data_parallel_size", "write replicas instead"),
        (8, {"tensor_parallel_size": 8, "pipeline_parallel_size": 1}, "tensor_parallel_size", "makes 8 parts, and 2"),
        (8, {"pipeline_parallel_size": 3}, "pipeline_parallel_size", "makes 15 parts, and 2 machines with 8 GPUs have"),
        (0, {"pipeline_parallel_size": 3}, "pipeline_parallel_size", "which 2 machines cannot share evenly"),
    ],
)
def test_what_machines_contradict_is_refused_where_it_is_written(
    gpus: int, engine: dict[str, Any], option: str, reason: str
) -> None:
    first = next(contradictions(model(gpus, 2, **engine)))
    assert first.option == option
    assert reason in first.reason
    written = {"id": "m", "source": "s", "gpus": gpus, "machines": 2, "engine": engine}
    with pytest.raises(ConfigError, match=rf"here: {option}: .*{reason}"):
        settings(value({"models": [written]}))


def test_a_model_over_several_machines_books_something_on_each() -> None:
    written = {"id": "m", "backend": "simulated", "machines": 2}
    with pytest.raises(ConfigError, match=r"here: machines: .*needs gpus or cpus, on each of them"):
        settings(value({"models": [written]}))
    (booked,) = settings(value({"models": [{**written, "cpus": 1}]})).models
    assert (booked.machines, booked.cpus, booked.books) == (2, 1.0, True)


def value(content: Any, place: str = "here") -> Value:
    """As it is read from a file, each with its key as its place."""
    if isinstance(content, dict):
        content = {key: value(item, f"here: {key}") for key, item in content.items()}
    elif isinstance(content, list):
        content = [value(item) for item in content]
    return Value(content, place)
