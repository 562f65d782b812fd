"""Nodes: the machines, what they have and run, and whether they are given work."""

from collections.abc import Sequence
from typing import NamedTuple

from fastapi import Response
from starlette.requests import Request

from api.dashboard.gpus import Gpus, by_kind
from api.dashboard.paging import Page, PageNumber
from api.dashboard.rendering import page
from api.dashboard.routing import pages
from api.http.dependencies import Admin, CurrentGateway
from api.nodes.schemas import Node, node_body
from api.replica.gateway import Gateway
from cluster.ids import NodeId
from cluster.messages.machines import NodeView

router = pages()


class Row(NamedTuple):
    """A node, and its GPUs by their kinds."""

    node: Node
    gpus: Sequence[Gpus]


@router.get("/nodes")
async def nodes(request: Request, gateway: CurrentGateway, number: PageNumber = 1) -> Response:
    return page(request, "nodes/list.html", {"nodes": await _listed(gateway, number)})


@router.get("/nodes/now")
async def now(request: Request, gateway: CurrentGateway, number: PageNumber = 1) -> Response:
    """The list, asked for again and again."""
    return page(request, "nodes/rows.html", {"nodes": await _listed(gateway, number)})


@router.get("/nodes/{node_id}")
async def node(request: Request, gateway: CurrentGateway, node_id: NodeId, number: PageNumber = 1) -> Response:
    return page(request, "nodes/node.html", await _one(gateway, node_id, number))


@router.get("/nodes/{node_id}/now")
async def node_now(request: Request, gateway: CurrentGateway, node_id: NodeId, number: PageNumber = 1) -> Response:
    """What changes of it."""
    return page(request, "nodes/now.html", await _one(gateway, node_id, number))


@router.post("/nodes/{node_id}/drain")
async def drain(request: Request, gateway: CurrentGateway, caller: Admin, node_id: NodeId) -> Response:
    """Give it no more work. The answer is what the page shows of it."""
    await gateway.nodes.drain(node_id, drains=True)
    return await _shown(request, gateway, node_id)


@router.post("/nodes/{node_id}/undrain")
async def undrain(request: Request, gateway: CurrentGateway, caller: Admin, node_id: NodeId) -> Response:
    """Give it work again. The answer is what the page shows of it."""
    await gateway.nodes.drain(node_id, drains=False)
    return await _shown(request, gateway, node_id)


async def _shown(request: Request, gateway: Gateway, node_id: NodeId) -> Response:
    """The list, or the one node on its own page."""
    is_alone = request.headers.get("HX-Target") == "node"
    return await node_now(request, gateway, node_id) if is_alone else await now(request, gateway)


async def _listed(gateway: Gateway, number: int) -> Page[Row]:
    now_ms = gateway.now_ms()
    return Page.of([_row(view, now_ms) for view in await gateway.nodes.all()], number)


async def _one(gateway: Gateway, node_id: NodeId, number: int) -> dict[str, object]:
    """Raises NodeNotFound."""
    row = _row(await gateway.nodes.get(node_id), gateway.now_ms())
    return {"row": row, "engines": Page.of(row.node["engines"], number)}


def _row(view: NodeView, now_ms: int) -> Row:
    node = node_body(view, now_ms)
    return Row(node, by_kind(node["gpus"]))
