"""Whether this process is up, and whether jobs can be submitted."""

from fastapi import APIRouter, Response

from api.answers import Answer
from api.dependencies import CurrentGateway
from api.gateway import Gateway
from api.openapi import PUBLIC, errors
from api.reach import in_time
from api.schemas.health import Health, Readiness
from cluster.errors import InternalError, NoCapacity
from cluster.messages import ModelView

router = APIRouter(tags=["health"])


@router.get("/healthz", response_model=Health, openapi_extra=PUBLIC)
async def healthz() -> Response:
    """The process is up."""
    return Answer({"status": "ok"})


@router.get("/readyz", response_model=Readiness, responses=errors(NoCapacity, InternalError), openapi_extra=PUBLIC)
async def readyz(gateway: CurrentGateway) -> Response:
    """A job can be accepted: the control plane answers, and some model serves or is being started and has room."""
    views, _ = await in_time(gateway.models())
    if not any(_can_accept(gateway, view) for view in views):
        raise NoCapacity("No model is ready or being started, or all queues are full")
    return Answer({"status": "ready"})


def _can_accept(gateway: Gateway, view: ModelView) -> bool:
    model = gateway.catalogue.find(view.id)
    return model is not None and view.state != "failed" and view.queued < model.max_queue
