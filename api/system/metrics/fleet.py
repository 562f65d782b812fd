"""What the Scheduler knows of models and machines."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from prometheus_client import Metric

from api.system.metrics.families import gauge
from cluster.messages.machines import EngineReport, EngineState, GpuLoad, ModelView, NodeStatus, NodeView


def names(models: Sequence[ModelView]) -> Iterator[str]:
    """What jobs are counted under: models and their adapters, each once. What was added may have a model's name now."""
    told = (name for view in models for name in (view.id, *(adapter.id for adapter in view.adapters)))
    yield from dict.fromkeys(told)


def engines(nodes: Sequence[NodeView]) -> Iterator[EngineReport]:
    """The engines of nodes that are there: one on several machines is told of by each, and is its first one's."""
    present = (node for node in nodes if node.status != "offline")
    return (engine for node in present for engine in node.engines if engine.node_id == node.id)


def of_models(models: Sequence[ModelView]) -> Iterator[Metric]:
    """Queues, leases, and how many replicas there are to be."""
    for name, about, field in (
        ("infernet_queue_length", "Jobs that wait for an engine.", "queued"),
        ("infernet_leases", "Jobs that the Scheduler has given to engines and not had back.", "leased"),
        ("infernet_replicas_wanted", "Replicas that there are to be.", "wanted"),
    ):
        yield gauge(name, about, ("model",), [((view.id,), getattr(view, field)) for view in models])


def of_nodes(nodes: Sequence[NodeView], models: Sequence[ModelView]) -> Iterator[Metric]:
    """What runs, and where it can."""
    known = [view.id for view in models]
    running = Counter(dict.fromkeys(known, 0))
    for engine in engines(nodes):
        running[engine.model] += len(engine.running)
    about = "Jobs that engines work on, as they tell."
    yield gauge("infernet_jobs_running", about, ("model",), (((model,), count) for model, count in running.items()))
    count = Counter((engine.model, engine.state) for engine in engines(nodes))
    shown = dict.fromkeys([*known, *(model for model, _ in count)])
    states = [(model, state) for model in shown for state in get_args(EngineState)]
    about = "Engines of nodes that are there."
    yield gauge("infernet_replicas", about, ("model", "state"), ((each, count[each]) for each in states))
    status = Counter(node.status for node in nodes)
    about = "Machines that have joined."
    yield gauge("infernet_nodes", about, ("status",), (((each,), status[each]) for each in get_args(NodeStatus)))
    yield from _of_gpus(nodes)


def speeds(models: Sequence[ModelView], per_second: Mapping[str, int]) -> Metric:
    """How fast models have generated lately."""
    about = "Output tokens per second of generation, averaged over the last 32 completed jobs; 0 before the first."
    samples = (((name,), per_second.get(name, 0)) for name in names(models))
    return gauge("infernet_output_tokens_per_second", about, ("model",), samples)


def _of_gpus(nodes: Sequence[NodeView]) -> Iterator[Metric]:
    present = [node for node in nodes if node.status not in ("offline", "idle")]
    labels = ("node", "gpu")
    sizes = [((node.id, str(n)), gpu.memory_bytes) for node in present for n, gpu in enumerate(node.hardware.gpus)]
    yield gauge("infernet_gpu_memory_bytes", "Memory that a GPU has.", labels, sizes)
    loads: list[tuple[tuple[str, str], GpuLoad]] = [
        ((node.id, str(number)), load) for node in present for number, load in enumerate(node.gpu_loads)
    ]
    used = [(gpu, load.memory_used_bytes) for gpu, load in loads if load.memory_used_bytes is not None]
    yield gauge("infernet_gpu_memory_used_bytes", "Memory of a GPU that is in use, by whomever.", labels, used)
    busy = [(gpu, load.utilization) for gpu, load in loads if load.utilization is not None]
    about = "Share of the last moment in which a GPU did anything, as its driver tells."
    yield gauge("infernet_gpu_utilization_ratio", about, labels, busy)
