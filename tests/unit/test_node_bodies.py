"""Nodes as clients are told of them."""

from typing import Any

import pytest
from msgspec.structs import replace

from api.nodes.schemas import node_body
from cluster.ids import EngineId, NodeId
from cluster.messages.machines import EngineReport, Gpu, GpuLoad, Hardware, NodeStatus, NodeView

NODE = NodeId("node_0000000000000001")
H200 = Gpu("NVIDIA H200", 150_000_000_000)
VIEW = NodeView(NODE, "online", 5_000, Hardware("host", 8.0, 1 << 30, 2, (H200, H200)), ())


@pytest.mark.parametrize(
    ("loads", "told"),
    [
        ((), [{}, {}]),
        (
            (GpuLoad(7, 0.25), GpuLoad(0, 0.0)),
            [{"memory_used_bytes": 7, "utilization": 0.25}, {"memory_used_bytes": 0, "utilization": 0.0}],
        ),
        ((GpuLoad(7, None), GpuLoad(None, None)), [{"memory_used_bytes": 7}, {}]),
        (
            (GpuLoad(None, 0.5), GpuLoad(1, 1.0), GpuLoad(2, 0.1)),
            [{"utilization": 0.5}, {"memory_used_bytes": 1, "utilization": 1.0}],
        ),
    ],
)
def test_what_a_gpu_is_used_for_is_told_as_far_as_it_is_known(
    loads: tuple[GpuLoad, ...], told: list[dict[str, Any]]
) -> None:
    known = {"name": "NVIDIA H200", "memory_bytes": 150_000_000_000}
    assert node_body(replace(VIEW, gpu_loads=loads), 5_000)["gpus"] == [{**known, **each} for each in told]


@pytest.mark.parametrize(("status", "is_told"), [("draining", True), ("offline", False), ("idle", False)])
def test_of_a_node_that_is_not_there_it_is_not(status: NodeStatus, is_told: bool) -> None:
    gpu, _ = node_body(replace(VIEW, status=status, gpu_loads=(GpuLoad(7, 0.25),)), 5_000)["gpus"]
    assert ("memory_used_bytes" in gpu) is is_told


def test_how_long_ago_it_was_heard_is_never_negative() -> None:
    assert [node_body(VIEW, now_ms)["heartbeat_age_ms"] for now_ms in (4_000, 5_000, 6_500)] == [0, 0, 1_500]


def test_engines_tell_what_they_do() -> None:
    ready = EngineReport(EngineId("m/1"), "m", NODE, "ready", slots=16, phase="it is over")
    starting = EngineReport(EngineId("m/2"), "m", NODE, "starting", phase="it loads")
    assert node_body(replace(VIEW, engines=(ready, starting)), 5_000)["engines"] == [
        {"id": "m/1", "model": "m", "state": "ready", "running": 0, "slots": 16},
        {"id": "m/2", "model": "m", "state": "starting", "running": 0, "phase": "it loads"},
    ]
