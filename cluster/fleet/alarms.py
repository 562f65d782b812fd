"""What of nodes and models somebody may want to be woken for: told as events until the Ledger has them."""

from collections.abc import Mapping

from msgspec import Struct

from cluster.fleet.failed_models import FailedModels
from cluster.fleet.online_nodes import OnlineNodes
from cluster.ids import NodeId, new_event_key
from cluster.messages.alarms import NOTHING_KNOWN, Known, OnlineNode
from cluster.messages.machines import ModelState, NodeStatus
from cluster.messages.seats import ClusterReport
from cluster.messages.webhooks import Event
from cluster.timing import Timing


class News(Struct, frozen=True):
    """What is to be told, and what is known once it has been."""

    events: tuple[Event, ...]
    known: Known


class Alarms:
    """Compares what is so with what was: a node that was online and is offline, a model that has come to be failed.

    What was so is what the Scheduler before this one wrote down, to begin with. A node that was drained, or that the
    cluster gave back because it had nothing to do, is missed by nobody.
    """

    def __init__(self, known: Known = NOTHING_KNOWN, now_s: float = 0.0, timing: Timing = Timing()) -> None:
        self._nodes = OnlineNodes(known.nodes, now_s, timing)
        self._models = FailedModels(known.models)
        self._written = known
        self._untold: dict[str, Event] = {}

    @property
    def news(self) -> News | None:
        """What the Ledger does not have yet; None where it has all."""
        news = News(tuple(self._untold.values()), Known(self._nodes.known, self._models.known))
        return news if news.events or news.known != self._written else None

    def survey(self, report: ClusterReport) -> None:
        """Take in what the cluster tells of its machines."""
        self._nodes.survey(report)

    def look(
        self,
        nodes: Mapping[NodeId, NodeStatus],
        models: Mapping[str, ModelState],
        makes: Mapping[str, str],
        now_s: float,
        now_ms: int,
    ) -> None:
        """Take in how all nodes and models are now, and what engines of each model are made of."""
        lost = [_offline(node, now_ms) for node in self._nodes.look(nodes, now_s, now_ms)]
        failed = [_failed(model, now_ms) for model in self._models.look(models, makes)]
        self._untold |= {event.key: event for event in (*lost, *failed)}

    def end(self) -> None:
        """The system ends, and its nodes with it: nothing is known any more."""
        self._nodes, self._models = OnlineNodes((), 0.0, Timing()), FailedModels(())

    def told(self, news: News) -> None:
        """The Ledger has these."""
        self._written = news.known
        for event in news.events:
            self._untold.pop(event.key, None)


def _offline(node: OnlineNode, now_ms: int) -> Event:
    """Named so that whoever tells it of this time of the node's tells the same."""
    return Event(f"node.offline {node.id} {node.since_ms}", "node.offline", now_ms, {"id": node.id})


def _failed(model: str, now_ms: int) -> Event:
    return Event(new_event_key(), "model.failed", now_ms, {"id": model})
