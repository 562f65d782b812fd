"""Whether this process is up, and whether jobs can be submitted."""

from fastapi import APIRouter

from api.dependencies import CurrentGateway
from cluster.errors import NoCapacity

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process is up."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(gateway: CurrentGateway) -> dict[str, str]:
    """A job can be accepted: the control plane answers, and some model serves or is being started."""
    views, _ = await gateway.models()
    if all(view.state == "failed" for view in views):
        raise NoCapacity("No model is ready or being started")
    return {"status": "ready"}
