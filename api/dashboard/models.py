"""Models: what each one does, and why it does not do more."""

from fastapi import Response
from starlette.requests import Request

from api.dashboard.paging import Page, PageNumber
from api.dashboard.rendering import page
from api.dashboard.routing import pages
from api.http.dependencies import CurrentGateway
from api.models.schemas import CatalogueModel, catalogue_body
from api.replica.gateway import Gateway
from cluster.errors import ModelNotFound

router = pages()

# A model's id may have slashes in it: what changes of a page is asked for at the page's own address, by htmx.


@router.get("/models")
async def models(request: Request, gateway: CurrentGateway, number: PageNumber = 1) -> Response:
    template = "models/rows.html" if _is_part(request) else "models/list.html"
    return page(request, template, {"models": Page.of(await _models(gateway), number)})


@router.get("/models/{model_id:path}")
async def model(request: Request, gateway: CurrentGateway, model_id: str) -> Response:
    template = "models/now.html" if _is_part(request) else "models/model.html"
    return page(request, template, await _now(gateway, model_id))


def _is_part(request: Request) -> bool:
    return "HX-Request" in request.headers


async def _models(gateway: Gateway) -> list[CatalogueModel]:
    now = await gateway.models()
    return [catalogue_body(view, now.tokens_per_second, gateway.catalogue) for view in now.views]


async def _now(gateway: Gateway, model_id: str) -> dict[str, object]:
    """A model, by its id, an alias or the id of one of its adapters. Raises ModelNotFound."""
    known = gateway.catalogue.find(model_id)
    found = next((body for body in await _models(gateway) if known is not None and body["id"] == known.id), None)
    if known is None or found is None:
        raise ModelNotFound("No such model")
    replicas = [(engine, node) for node in await gateway.nodes() for engine in node.engines if engine.model == known.id]
    return {"model": found, "aliases": known.aliases, "replicas": replicas}
