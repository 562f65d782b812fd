"""The machines of the network."""

from typing import Any

from fastapi import APIRouter

from api.dependencies import Caller, CurrentGateway
from api.schemas import node_body

router = APIRouter(tags=["nodes"])


@router.get("/nodes")
async def list_nodes(gateway: CurrentGateway, caller: Caller) -> dict[str, Any]:
    """All nodes that have joined."""
    return {"nodes": [node_body(view) for view in await gateway.nodes()]}


@router.get("/nodes/{node_id}")
async def get_node(gateway: CurrentGateway, caller: Caller, node_id: str) -> dict[str, Any]:
    """One node with its hardware and engines."""
    return node_body(await gateway.node(node_id))


@router.get("/nodes/{node_id}/status")
async def get_node_status(gateway: CurrentGateway, node_id: str) -> dict[str, str]:
    """Whether a node is there. Needs no key."""
    view = await gateway.node(node_id)
    return {"status": "offline" if view.status == "offline" else "online"}
