"""The models that can be used, and those of the catalogue. What admins set of one holds until they set it otherwise."""

from fastapi import APIRouter, Response

from api.http.answers import Answer
from api.http.bodies import parse
from api.http.dependencies import Admin, Body, Caller, CurrentGateway
from api.http.openapi import GUARDED, errors, takes
from api.http.parameters import AdapterPath, Flag, KnownAndOnce, ModelPath
from api.models.adapters import AdapterRequest
from api.models.detail import ModelDetail, ModelPatch, detail_body
from api.models.schemas import ModelList, catalogue_body, model_body
from api.replica.gateway import Gateway
from cluster.errors import BadRequest, Conflict, Forbidden, ModelNotFound, PayloadTooLarge
from cluster.messages import models

router = APIRouter(tags=["models"], dependencies=[KnownAndOnce], responses=errors(*GUARDED, BadRequest))


@router.get("/models", response_model=ModelList, responses=errors(BadRequest))
async def list_models(gateway: CurrentGateway, caller: Caller, all: Flag = False) -> Response:
    """Models with a ready replica on an online node; with `all`, the whole catalogue and each one's state."""
    now = await gateway.models.now()
    if not all:
        serving = [view for view in now.views if view.nodes]
        return Answer({"models": [model_body(view, now.tokens_per_second, gateway.catalogue) for view in serving]})
    return Answer({"models": [catalogue_body(view, now.tokens_per_second, gateway.catalogue) for view in now.views]})


@router.get("/models/{model_id:path}", response_model=ModelDetail, responses=errors(ModelNotFound))
async def get_model(gateway: CurrentGateway, caller: Caller, model_id: ModelPath) -> Response:
    """One model, by its id, an alias or an adapter's id: its replicas, how many there may be, and the last failures."""
    return await _told(gateway, await gateway.models.get(model_id))


@router.patch(
    "/models/{model_id:path}",
    response_model=ModelDetail,
    responses=errors(BadRequest, Forbidden, ModelNotFound, PayloadTooLarge),
    openapi_extra=takes(ModelPatch),
)
async def change_model(gateway: CurrentGateway, caller: Admin, model_id: ModelPath, body: Body) -> Response:
    """Set how many replicas there may be, until it is set otherwise; null is what the settings say. Only for admins."""
    return await _told(gateway, await gateway.models.change(model_id, parse(ModelPatch, body).change()))


@router.post("/models/{model_id:path}/restart", response_model=ModelDetail, responses=errors(Forbidden, ModelNotFound))
async def restart_model(gateway: CurrentGateway, caller: Admin, model_id: ModelPath) -> Response:
    """Replace the model's replicas one after the other; no job is lost. Only for admins."""
    return await _told(gateway, await gateway.models.restart(model_id))


@router.post(
    "/models/{model_id:path}/adapters",
    status_code=201,
    response_model=ModelDetail,
    responses=errors(BadRequest, Forbidden, ModelNotFound, Conflict, PayloadTooLarge),
    openapi_extra=takes(AdapterRequest),
)
async def add_adapter(gateway: CurrentGateway, caller: Admin, model_id: ModelPath, body: Body) -> Response:
    """Add a LoRA adapter to a model; its engines load it while they serve. Only for admins.

    Jobs are taken for it once every engine that serves knows it. Where one cannot, its `state_message` says why.
    """
    adapter = parse(AdapterRequest, body).adapter()
    return await _told(gateway, await gateway.adapters.add(model_id, adapter), 201)


@router.delete(
    "/models/{model_id:path}/adapters/{adapter_id:path}",
    status_code=204,
    responses=errors(Forbidden, ModelNotFound, Conflict),
)
async def remove_adapter(
    gateway: CurrentGateway, caller: Admin, model_id: ModelPath, adapter_id: AdapterPath
) -> Response:
    """Remove an adapter that an admin has added. Jobs that were accepted for it go on. Only for admins."""
    await gateway.adapters.remove(model_id, adapter_id)
    return Response(status_code=204)


async def _told(gateway: Gateway, detail: models.ModelDetail, status: int = 200) -> Response:
    speeds = await gateway.models.speeds()
    return Answer(detail_body(detail, lambda name: speeds.get(name, 0), gateway.catalogue), status)
