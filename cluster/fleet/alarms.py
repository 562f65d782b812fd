"""What of nodes and models somebody may want to be woken for: told as events until the Ledger has them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from cluster.ids import NodeId, new_event_key
from cluster.messages.machines import ModelState, NodeStatus
from cluster.messages.webhooks import Event


class Alarms:
    """Compares what is so with what was: a node that was online and is offline, a model that has come to be failed.

    A node that was drained, or that the cluster gave back because it had nothing to do, is missed by nobody.
    """

    def __init__(self) -> None:
        self._nodes: Mapping[NodeId, NodeStatus] = {}
        self._models: Mapping[str, ModelState] = {}
        self._untold: dict[str, Event] = {}

    @property
    def untold(self) -> Sequence[Event]:
        return tuple(self._untold.values())

    def look(self, nodes: Mapping[NodeId, NodeStatus], models: Mapping[str, ModelState], now_ms: int) -> None:
        """Take in how all nodes and models are now."""
        lost = [each for each, status in nodes.items() if status == "offline" and self._nodes.get(each) == "online"]
        failed = [each for each, state in models.items() if state == "failed" and self._models.get(each) != "failed"]
        self._nodes, self._models = nodes, models
        for event in (*_events("node.offline", lost, now_ms), *_events("model.failed", failed, now_ms)):
            self._untold[event.key] = event

    def told(self, events: Iterable[Event]) -> None:
        """The Ledger has these."""
        for event in events:
            self._untold.pop(event.key, None)


def _events(kind: Literal["node.offline", "model.failed"], ids: Iterable[str], now_ms: int) -> list[Event]:
    return [Event(new_event_key(), kind, now_ms, {"id": each}) for each in ids]
