"""Nodes as routes ask for them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cluster.errors import NodeNotFound
from cluster.ids import NodeId
from cluster.messages.machines import NodeView

if TYPE_CHECKING:
    from actors.scheduler import Scheduler


class Nodes:
    """The machines that there are, or were until lately."""

    def __init__(self, scheduler: "Scheduler") -> None:
        self._scheduler = scheduler

    async def all(self) -> Sequence[NodeView]:
        return await self._scheduler.nodes()

    async def get(self, node_id: NodeId) -> NodeView:
        """Raises NodeNotFound."""
        for view in await self.all():
            if view.id == node_id:
                return view
        raise NodeNotFound("No such node")

    async def drain(self, node_id: NodeId, drains: bool) -> NodeView:
        """Give this node no more work, or work again. Raises NodeNotFound."""
        await self.get(node_id)
        await self._scheduler.drain_node(node_id, drains)
        return await self.get(node_id)
