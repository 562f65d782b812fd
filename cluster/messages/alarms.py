"""What is written down of nodes and models, so that the next Scheduler knows what it would miss."""

from typing import Final

from msgspec import Struct

from cluster.ids import NodeId


class OnlineNode(Struct, frozen=True):
    """A node that is missed when it goes: it has been online since `since_ms`, and nobody has drained it.

    `name` is that of its machine, by which it is known when it comes back; nothing where the cluster made the machine,
    and may put another one in its place.
    """

    id: NodeId
    since_ms: int
    name: str = ""


class FailedModel(Struct, frozen=True):
    """A model of which it has been told that it failed. `make` is the fingerprint of what its engines are made of."""

    id: str
    make: str


class Known(Struct, frozen=True):
    """Which nodes are online, and which models have been told of as failed: all of them, each time."""

    nodes: frozenset[OnlineNode] = frozenset()
    models: frozenset[FailedModel] = frozenset()


NOTHING_KNOWN: Final = Known()
