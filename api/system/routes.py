"""Whether this process is up, whether jobs can be submitted, and what Prometheus reads."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from typing_extensions import TypedDict

from api.http.answers import Answer
from api.http.callers import bearer_token
from api.http.dependencies import CurrentGateway
from api.http.openapi import PUBLIC, errors
from api.http.parameters import KnownAndOnce, PartOfMetrics
from api.replica.gateway import Gateway
from api.system.metrics.page import Page
from cluster.errors import BadRequest, InternalError, NoCapacity, Unauthorized
from cluster.messages.machines import ModelView

router = APIRouter(tags=["health"])


class Health(TypedDict):
    status: Literal["ok"]


class Readiness(TypedDict):
    status: Literal["ready"]


class Empty(Response):
    """Says all that it has to say by its status."""


class MetricsText(Response):
    media_type = "text/plain"


@router.get("/healthz", response_model=Health, openapi_extra=PUBLIC)
async def healthz() -> Response:
    """The process is up."""
    return Answer({"status": "ok"})


@router.get("/readyz", response_model=Readiness, responses=errors(NoCapacity, InternalError), openapi_extra=PUBLIC)
async def readyz(gateway: CurrentGateway) -> Response:
    """A job can be accepted: it can be made durable, and some model serves or is being started and has room."""
    await _require_ready(gateway)
    return Answer({"status": "ready"})


@router.get("/health", response_class=Empty, responses=errors(NoCapacity, InternalError), openapi_extra=PUBLIC)
@router.get("/ping", response_class=Empty, responses=errors(NoCapacity, InternalError), openapi_extra=PUBLIC)
@router.post("/ping", response_class=Empty, responses=errors(NoCapacity, InternalError), openapi_extra=PUBLIC)
async def health(gateway: CurrentGateway) -> Response:
    """As `/readyz`, where vLLM's server is asked: an answer without a body."""
    await _require_ready(gateway)
    return Empty()


@router.get(
    "/metrics",
    response_class=MetricsText,
    dependencies=[KnownAndOnce],
    responses=errors(BadRequest, Unauthorized, InternalError),
    openapi_extra=PUBLIC,
)
async def get_metrics(request: Request, gateway: CurrentGateway, part: PartOfMetrics = "all") -> Response:
    """The system's state as Prometheus metrics, as far as its parts answer. Names no account, key or job.

    Where the settings have a `metrics.key`, it has to be presented, or the key of an admin.
    """
    await gateway.require_metrics_reader(lambda: bearer_token(request.headers))
    text = Page(await gateway.health.state(), part).text()
    return MetricsText(text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


async def _require_ready(gateway: Gateway) -> None:
    if not any(_can_accept(gateway, view) for view in await gateway.health.ready()):
        raise NoCapacity("No model is ready or being started, or all queues are full")


def _can_accept(gateway: Gateway, view: ModelView) -> bool:
    model = gateway.catalogue.find(view.id)
    return model is not None and view.state != "failed" and view.queued < model.max_queue
