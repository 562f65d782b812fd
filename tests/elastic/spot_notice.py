"""`python -m tests.elastic.spot_notice ADDRESS NODE SECONDS`: Ray is told that this machine will be taken away."""

import sys
import time

from ray._raylet import GcsClient
from ray.core.generated import autoscaler_pb2

from cluster.ids import node_id


def main(address: str, node: str, in_s: float) -> None:
    gcs = GcsClient(address=address)
    (ray_id,) = [each.hex() for each in gcs.get_all_node_info() if node_id(each.hex()) == node]
    deadline_ms = round((time.time() + in_s) * 1000)
    accepted, why_not = gcs.drain_node(
        ray_id, autoscaler_pb2.DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION, "a spot notice", deadline_ms
    )
    assert accepted, why_not


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
