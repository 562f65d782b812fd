"""The machines of the Ray cluster."""

from collections.abc import Iterable, Mapping
from typing import Any

import ray
from ray._private.state import state
from ray.core.generated import autoscaler_pb2, common_pb2

from cluster.ids import NodeId, node_id
from cluster.messages.machines import Hardware
from cluster.messages.seats import MachineReport

HEAD = "node:__internal_head__"
CONTROL_LABEL, CONTROL_VALUE = "infernet-control", "true"
"""Machines that are labelled so are for the control plane, like the head, and stay as it does."""


_GIVEN_BACK = (common_pb2.NodeDeathInfo.AUTOSCALER_DRAIN_IDLE, common_pb2.NodeDeathInfo.AUTOSCALER_DRAIN_PREEMPTED)


def all_of_them() -> list[dict[str, Any]]:
    """Ray's machines, as Ray tells of them, and those that it remembers. Blocks."""
    nodes: list[dict[str, Any]] = ray.nodes()
    return nodes


def alive() -> list[dict[str, Any]]:
    """Ray's machines, as Ray tells of them. Blocks."""
    return are_alive(all_of_them())


def are_alive(nodes: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of these that are there."""
    return [node for node in nodes if node["Alive"]]


def given_back(nodes: Iterable[Mapping[str, Any]]) -> frozenset[NodeId]:
    """Those of these that have gone because nobody needed them, or after a notice that they would be taken away."""
    gone = (node for node in nodes if not node["Alive"] and node.get("DeathReason") in _GIVEN_BACK)
    return frozenset(node_id(node["NodeID"]) for node in gone)


def my_address() -> str:
    """The address that the other machines know this one by."""
    return str(ray.util.get_node_ip_address())


def heads_address() -> str:
    """The address that the other machines know the head by. Blocks."""
    return next(str(node["NodeManagerAddress"]) for node in alive() if HEAD in node["Resources"])


def is_for_control(node: Mapping[str, Any]) -> bool:
    return HEAD in node["Resources"] or (node.get("Labels") or {}).get(CONTROL_LABEL) == CONTROL_VALUE


def leaving() -> Mapping[str, int]:
    """The machines that are being taken away, by Ray's ids, and when, in milliseconds; 0 where nobody says. Blocks."""
    drained: Mapping[str, int] = state.get_draining_nodes()
    return drained


def announce_end(ray_id: str, leaves_at_ms: int) -> None:
    """Tell Ray that this machine will be taken away then. Nothing new is placed there. Blocks."""
    gcs = ray._private.worker.global_worker.gcs_client
    preemption = autoscaler_pb2.DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION
    accepted, why_not = gcs.drain_node(ray_id, preemption, "spot notice", leaves_at_ms)
    if not accepted:
        raise RuntimeError(f"Ray does not drain this machine: {why_not}")


def report(node: Mapping[str, Any], elastic: bool, leaves_at_ms: int | None) -> MachineReport:
    """A machine, as it is told of. Where machines come and go, all but those for the control plane may go."""
    resources = node["Resources"]
    hardware = Hardware(
        hostname=node["NodeManagerHostname"],
        cpus=resources.get("CPU", 0.0),
        memory_bytes=int(resources.get("memory", 0)),
        gpu_count=int(resources.get("GPU", 0)),
    )
    stays = not elastic or is_for_control(node)
    return MachineReport(node_id(node["NodeID"]), hardware, stays, leaves_at_ms, node.get("Labels") or {})


def ray_id(machines: list[dict[str, Any]], wanted: NodeId) -> str | None:
    """Ray's id of this machine."""
    return next((node["NodeID"] for node in machines if node_id(node["NodeID"]) == wanted), None)
