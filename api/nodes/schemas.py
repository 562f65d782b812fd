"""Nodes: the machines of the network."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from api.http.bodies import NodeIdText, Time
from cluster.clock import iso_utc
from cluster.messages.machines import EngineState, NodeStatus, NodeView


class Gpu(TypedDict):
    name: str
    memory_bytes: Annotated[int, Field(ge=0)]


class Engine(TypedDict):
    id: str
    model: str
    state: EngineState
    running: Annotated[int, Field(ge=0, description="Jobs that it works on")]


class Node(TypedDict):
    """A machine with its hardware and engines."""

    id: NodeIdText
    status: NodeStatus
    last_heartbeat: Time
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


def node_body(view: NodeView) -> Node:
    hardware = view.hardware
    return {
        "id": view.id,
        "status": view.status,
        "last_heartbeat": iso_utc(view.last_heartbeat_ms),
        "hostname": hardware.hostname,
        "cpus": hardware.cpus,
        "memory_bytes": hardware.memory_bytes,
        "gpus": [{"name": gpu.name, "memory_bytes": gpu.memory_bytes} for gpu in hardware.gpus],
        "models": sorted({engine.model for engine in view.engines if engine.state == "ready"}),
        "weights": list(view.weights),
        "engines": [
            {"id": engine.id, "model": engine.model, "state": engine.state, "running": len(engine.running)}
            for engine in view.engines
        ],
    }


def presence_body(view: NodeView) -> NodePresence:
    return {"status": "offline" if view.status == "offline" else "online"}
