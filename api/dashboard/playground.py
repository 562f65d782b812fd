"""Playground: a conversation with a model, by the same requests that any client sends."""

from fastapi import Response
from starlette.requests import Request

from api.dashboard.rendering import page
from api.dashboard.routing import pages
from api.http.dependencies import Caller, CurrentGateway
from cluster.catalogue import Catalogue, Choice
from cluster.messages.people import Principal

router = pages()


@router.get("/playground")
async def playground(request: Request, gateway: CurrentGateway, caller: Caller) -> Response:
    states = {view.id: view.state for view in await gateway.model_views()}
    models = [(choice.id, states.get(choice.model.id, "")) for choice in _usable(gateway.catalogue, caller)]
    return page(request, "playground.html", {"models": models})


def _usable(catalogue: Catalogue, caller: Principal) -> list[Choice]:
    """What this key may ask for texts: models, each with its adapters."""
    talking = [model for model in catalogue.models if not model.pools]
    choices = [Choice(model, adapter) for model in talking for adapter in (None, *model.adapters)]
    return [choice for choice in choices if caller.may_use(choice.model.id, choice.adapter_id)]
