"""The models that can be used, and those of the catalogue."""

from fastapi import APIRouter, Response

from api.http.answers import Answer
from api.http.dependencies import Caller, CurrentGateway
from api.http.openapi import GUARDED, errors
from api.http.parameters import Flag, KnownAndOnce
from api.models.schemas import ModelList, catalogue_body, model_body
from cluster.errors import BadRequest

router = APIRouter(tags=["models"], dependencies=[KnownAndOnce], responses=errors(*GUARDED, BadRequest))


@router.get("/models", response_model=ModelList, responses=errors(BadRequest))
async def list_models(gateway: CurrentGateway, caller: Caller, all: Flag = False) -> Response:
    """Models with a ready replica on an online node; with `all`, the whole catalogue and each one's state."""
    now = await gateway.models()
    if not all:
        serving = [view for view in now.views if view.nodes]
        return Answer({"models": [model_body(view, now.tokens_per_second, gateway.catalogue) for view in serving]})
    return Answer({"models": [catalogue_body(view, now.tokens_per_second, gateway.catalogue) for view in now.views]})
