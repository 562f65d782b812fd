"""Nodes: the machines, what they have and run, and whether they are given work."""

from fastapi import Response
from starlette.requests import Request

from api.dashboard.paging import Page, PageNumber
from api.dashboard.rendering import page
from api.dashboard.routing import pages
from api.http.dependencies import Admin, CurrentGateway
from api.nodes.schemas import Node, node_body
from api.replica.gateway import Gateway
from cluster.ids import NodeId

router = pages()


@router.get("/nodes")
async def nodes(request: Request, gateway: CurrentGateway, number: PageNumber = 1) -> Response:
    return page(request, "nodes.html", {"nodes": await _listed(gateway, number)})


@router.get("/nodes/now")
async def now(request: Request, gateway: CurrentGateway, number: PageNumber = 1) -> Response:
    """The list, asked for again and again."""
    return page(request, "parts/nodes_now.html", {"nodes": await _listed(gateway, number)})


@router.post("/nodes/{node_id}/drain")
async def drain(request: Request, gateway: CurrentGateway, caller: Admin, node_id: NodeId) -> Response:
    """Give it no more work. The answer is the list."""
    await gateway.drain_node(node_id, drains=True)
    return await now(request, gateway)


@router.post("/nodes/{node_id}/undrain")
async def undrain(request: Request, gateway: CurrentGateway, caller: Admin, node_id: NodeId) -> Response:
    """Give it work again. The answer is the list."""
    await gateway.drain_node(node_id, drains=False)
    return await now(request, gateway)


async def _listed(gateway: Gateway, number: int) -> Page[Node]:
    return Page.of([node_body(view, gateway.now_ms()) for view in await gateway.nodes()], number)
