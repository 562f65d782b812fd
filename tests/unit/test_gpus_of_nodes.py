"""GPUs as a node's row shows them."""

from api.dashboard.gpus import Gpus, by_kind
from api.nodes.schemas import Gpu


def gpu(name: str, memory_bytes: int, used_bytes: int | None = None, utilization: float | None = None) -> Gpu:
    body: Gpu = {"name": name, "memory_bytes": memory_bytes}
    if used_bytes is not None:
        body["memory_used_bytes"] = used_bytes
    if utilization is not None:
        body["utilization"] = utilization
    return body


def test_those_of_a_kind_are_told_together() -> None:
    gpus = [gpu("H100", 80, 10, 0.5), gpu("L4", 24, 4, 0.0), gpu("H100", 80, 20, 1.0)]
    assert by_kind(gpus) == [Gpus("H100", 2, 160, 30, 0.75), Gpus("L4", 1, 24, 4, 0.0)]


def test_what_no_driver_tells_is_not_known() -> None:
    assert by_kind([gpu("H100", 80), gpu("L4", 24)]) == [Gpus("H100", 1, 80, None, None), Gpus("L4", 1, 24, None, None)]
    assert by_kind([gpu("H100", 80, 10), gpu("H100", 80)]) == [Gpus("H100", 2, 160, 10, None)]
    assert by_kind([]) == []
