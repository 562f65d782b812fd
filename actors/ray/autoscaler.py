"""Ray's autoscaler, as far as it tells: whether it brings machines, and for which placement groups it has none.

There are two of them. The second tells the whole of its state; the first writes a report, which says nothing of demand
that no machine can meet: there, a group for which nothing is being started is taken for such.
"""

import json
import math
from collections.abc import Collection
from typing import Any

import ray
from msgspec import Struct
from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply
from ray.experimental.internal_kv import _internal_kv_get

from cluster.clock import SYSTEM_CLOCK, Clock

_REPORT_OF_V1 = "__autoscaling_status"
_ANSWER_S = 10.0
# The provider of a cluster whose machines come by hand names each one's type after the machine.
_BY_HAND = "node_"
_TRUSTED_S = 10.0
_AT_WORK = ("pending_nodes", "pending_launches")


class Outlook(Struct, frozen=True):
    """`brings_machines`: the cluster grows with what waits. `hopeless` are the groups, by their ids, that it has told
    it has nothing for; None where it does not tell. `is_starting` is whether any machine is on its way."""

    brings_machines: bool
    hopeless: frozenset[str] | None = None
    is_starting: bool = False


class Autoscaler:
    """Asks again after a while: on a cluster whose machines come by hand there is nothing to hear."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._outlook = Outlook(brings_machines=False)
        self._asked_s = -math.inf

    def look(self, is_urgent: bool = False) -> Outlook:
        """What it told, which is new where that is urgent. Blocks."""
        now_s = self._clock.monotonic_s()
        if is_urgent or now_s - self._asked_s >= _TRUSTED_S:
            self._outlook, self._asked_s = outlook(), now_s
        return self._outlook


def outlook() -> Outlook:
    """What the autoscaler tells now. Blocks."""
    status = _internal_kv_get(_REPORT_OF_V1)
    if status:
        return outlook_of_v1(json.loads(status))
    reply = GetClusterStatusReply()
    reply.ParseFromString(ray._private.worker.global_worker.gcs_client.get_cluster_status(timeout_s=_ANSWER_S))
    return outlook_of_v2(reply)


def outlook_of_v1(status: dict[str, Any]) -> Outlook:
    report = status.get("autoscaler_report") or {}
    kinds: Collection[str] = (report.get("node_type_mapping") or {}).values() or report.get("active_nodes") or ()
    brings = any(not kind.startswith(_BY_HAND) for kind in kinds)
    return Outlook(brings, None, any(report.get(what) for what in _AT_WORK))


def outlook_of_v2(reply: GetClusterStatusReply) -> Outlook:
    state = reply.autoscaling_state
    is_there = state.autoscaler_state_version > 0
    brings = is_there and any(node.ray_node_type_name for node in reply.cluster_resource_state.node_states)
    # Ray tells of each group as `ID:STRATEGY|STATE`.
    hopeless = frozenset(gang.details.partition(":")[0] for gang in state.infeasible_gang_resource_requests)
    return Outlook(brings, hopeless, bool(state.pending_instance_requests or state.pending_instances))
