"""What Prometheus reads."""

import asyncio

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from api.dependencies import CurrentGateway
from api.metrics import Snapshot
from api.openapi import PUBLIC, errors
from api.reach import in_time
from cluster.errors import InternalError, NoCapacity

router = APIRouter(tags=["health"])


class MetricsText(Response):
    media_type = "text/plain"


@router.get("/metrics", response_class=MetricsText, responses=errors(NoCapacity, InternalError), openapi_extra=PUBLIC)
async def get_metrics(gateway: CurrentGateway) -> Response:
    """The system's state as Prometheus metrics. Names no account, key or job."""
    asked = asyncio.gather(gateway.models(), gateway.nodes(), gateway.totals())
    (models, speeds), nodes, totals = await in_time(asked)
    text = Snapshot(models, speeds, nodes, totals).text()
    return MetricsText(text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
