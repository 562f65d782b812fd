"""GPUs as a node's row shows them."""

from api.dashboard.gpus import Gpus, by_kind
from cluster.ids import NodeId
from cluster.messages.machines import Gpu, GpuLoad, Hardware, NodeView

H100, L4 = Gpu("H100", 80), Gpu("L4", 24)


def a_node(*gpus: Gpu, loads: tuple[GpuLoad, ...] = ()) -> NodeView:
    return NodeView(NodeId("n"), "online", 0, Hardware("box", 1.0, 1, len(gpus), gpus), (), gpu_loads=loads)


def test_those_of_a_kind_are_told_together() -> None:
    loads = (GpuLoad(10, 0.5), GpuLoad(20, 1.0), GpuLoad(4, 0.0))
    assert by_kind(a_node(H100, H100, L4, loads=loads)) == [Gpus("H100", 2, 160, 30, 0.75), Gpus("L4", 1, 24, 4, 0.0)]


def test_what_no_driver_tells_is_not_known() -> None:
    assert by_kind(a_node(H100, L4)) == [Gpus("H100", 1, 80, None, None), Gpus("L4", 1, 24, None, None)]
    assert by_kind(a_node(H100, H100, loads=(GpuLoad(10, None),))) == [Gpus("H100", 2, 160, 10, None)]
    assert by_kind(a_node()) == []
