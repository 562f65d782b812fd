"""Nodes: the machines of the network."""

from itertools import zip_longest
from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from api.http.bodies import NodeIdText, Time
from cluster.clock import iso_utc
from cluster.messages import machines
from cluster.messages.machines import EngineReport, EngineState, GpuLoad, NodeStatus, NodeView


class Gpu(TypedDict):
    """A GPU, and what it is used for, where its driver tells and the node is there."""

    name: str
    memory_bytes: Annotated[int, Field(ge=0)]
    memory_used_bytes: NotRequired[Annotated[int, Field(ge=0)]]
    utilization: NotRequired[Annotated[float, Field(ge=0, le=1, description="The share of time in which it worked")]]


class Engine(TypedDict):
    """An engine on the machine, or with a part there."""

    id: str
    model: str
    state: EngineState
    running: Annotated[int, Field(ge=0, description="Jobs that it works on")]
    slots: NotRequired[Annotated[int, Field(ge=1, description="Jobs that it runs at once, once it has told")]]
    phase: NotRequired[Annotated[str, Field(description="What one that starts is doing")]]


class Node(TypedDict):
    """A machine with its hardware and engines."""

    id: NodeIdText
    status: NodeStatus
    last_heartbeat: Time
    heartbeat_age_ms: Annotated[int, Field(ge=0, description="How long ago it was heard, by the server's clock")]
    hostname: str
    cpus: Annotated[float, Field(ge=0)]
    memory_bytes: Annotated[int, Field(ge=0)]
    gpus: list[Gpu]
    models: Annotated[list[str], Field(description="Those with a ready engine here")]
    weights: Annotated[list[str], Field(description="Models whose weights are on the machine, loaded or not")]
    engines: list[Engine]


class NodeList(TypedDict):
    nodes: list[Node]


class NodePresence(TypedDict):
    """Whether a node is there. One that is being drained is."""

    status: Literal["online", "offline"]


def node_body(view: NodeView, now_ms: int) -> Node:
    hardware = view.hardware
    return {
        "id": view.id,
        "status": view.status,
        "last_heartbeat": iso_utc(view.last_heartbeat_ms),
        "heartbeat_age_ms": max(0, now_ms - view.last_heartbeat_ms),
        "hostname": hardware.hostname,
        "cpus": hardware.cpus,
        "memory_bytes": hardware.memory_bytes,
        "gpus": _gpus_body(view),
        "models": sorted({engine.model for engine in view.engines if engine.state == "ready"}),
        "weights": list(view.weights),
        "engines": [_engine_body(engine) for engine in view.engines],
    }


def _gpus_body(view: NodeView) -> list[Gpu]:
    """What was told last of one that is not there any more is of no use."""
    loads = view.gpu_loads if view.status in ("online", "draining") else ()
    return [_gpu_body(gpu, load) for gpu, load in zip_longest(view.hardware.gpus, loads) if gpu is not None]


def _gpu_body(gpu: machines.Gpu, load: GpuLoad | None) -> Gpu:
    body: Gpu = {"name": gpu.name, "memory_bytes": gpu.memory_bytes}
    if load is not None and load.memory_used_bytes is not None:
        body["memory_used_bytes"] = load.memory_used_bytes
    if load is not None and load.utilization is not None:
        body["utilization"] = load.utilization
    return body


def _engine_body(engine: EngineReport) -> Engine:
    body: Engine = {
        "id": engine.id,
        "model": engine.model,
        "state": engine.state,
        "running": len(engine.running),
    }
    if engine.slots:
        body["slots"] = engine.slots
    if engine.state == "starting" and engine.phase:
        body["phase"] = engine.phase
    return body


def presence_body(view: NodeView) -> NodePresence:
    return {"status": "offline" if view.status == "offline" else "online"}
