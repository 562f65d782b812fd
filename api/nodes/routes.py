"""The machines of the network."""

from fastapi import APIRouter, Response

from api.http.answers import Answer
from api.http.dependencies import Admin, Caller, CurrentGateway
from api.http.openapi import GUARDED, PUBLIC, errors
from api.http.parameters import KnownAndOnce
from api.nodes.schemas import Node, NodeList, NodePresence, node_body, presence_body
from cluster.errors import BadRequest, Forbidden, InternalError, NoCapacity, NodeNotFound
from cluster.ids import NodeId

router = APIRouter(tags=["nodes"])


@router.get("/nodes", response_model=NodeList, dependencies=[KnownAndOnce], responses=errors(*GUARDED, BadRequest))
async def list_nodes(gateway: CurrentGateway, caller: Caller) -> Response:
    """All nodes that have joined."""
    return Answer({"nodes": [node_body(view, gateway.now_ms()) for view in await gateway.nodes.all()]})


@router.get(
    "/nodes/{node_id}",
    response_model=Node,
    dependencies=[KnownAndOnce],
    responses=errors(*GUARDED, BadRequest, NodeNotFound),
)
async def get_node(gateway: CurrentGateway, caller: Caller, node_id: NodeId) -> Response:
    """One node with its hardware and engines."""
    return Answer(node_body(await gateway.nodes.get(node_id), gateway.now_ms()))


@router.get(
    "/nodes/{node_id}/status",
    response_model=NodePresence,
    responses=errors(NodeNotFound, NoCapacity, InternalError),
    openapi_extra=PUBLIC,
)
async def get_node_status(gateway: CurrentGateway, node_id: NodeId) -> Response:
    """Whether a node is there. Needs no key."""
    return Answer(presence_body(await gateway.nodes.get(node_id)))


@router.post(
    "/nodes/{node_id}/drain",
    response_model=Node,
    dependencies=[KnownAndOnce],
    responses=errors(*GUARDED, BadRequest, Forbidden, NodeNotFound),
)
async def drain_node(gateway: CurrentGateway, caller: Admin, node_id: NodeId) -> Response:
    """Give a node no more jobs; those that run there end, or go on elsewhere. Only for admins."""
    return Answer(node_body(await gateway.nodes.drain(node_id, drains=True), gateway.now_ms()))


@router.post(
    "/nodes/{node_id}/undrain",
    response_model=Node,
    dependencies=[KnownAndOnce],
    responses=errors(*GUARDED, BadRequest, Forbidden, NodeNotFound),
)
async def undrain_node(gateway: CurrentGateway, caller: Admin, node_id: NodeId) -> Response:
    """Give a node jobs again. Only for admins."""
    return Answer(node_body(await gateway.nodes.drain(node_id, drains=False), gateway.now_ms()))
