"""The models that can be used, and those of the catalogue."""

from typing import Any

from fastapi import APIRouter

from api.dependencies import Caller, CurrentGateway
from api.schemas import catalogue_body, model_body

router = APIRouter(tags=["models"])


@router.get("/models")
async def list_models(gateway: CurrentGateway, caller: Caller, all: bool = False) -> dict[str, Any]:
    """Models with a ready replica on an online node; with `all`, the whole catalogue and each one's state."""
    views, speeds = await gateway.models()
    if all:
        return {"models": [catalogue_body(view, speeds.get(view.id, 0)) for view in views]}
    return {"models": [model_body(view, speeds.get(view.id, 0)) for view in views if view.nodes]}
