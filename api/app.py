"""The FastAPI application: routes, the errors' shape, and the gateway's life."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI

from api import errors, openapi
from api.admission import Admission
from api.gateway import Gateway
from api.openai.errors import OpenAIError
from api.openai.routes import router as openai_router
from api.routes import accounts, health, jobs, keys, metrics, models, nodes, usage
from api.schemas.errors import Error


def create_app(gateway: Gateway) -> FastAPI:
    """The application on this gateway, which lives as long as the application does."""
    app = FastAPI(
        title="Infernet on Ray",
        lifespan=_living(gateway),
        redirect_slashes=False,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    app.state.gateway = gateway
    for routes in (jobs, models, nodes, keys, accounts, usage):
        app.include_router(routes.router, prefix="/api/v1")
    app.include_router(openai_router, prefix="/v1")
    for public in (health, metrics):
        app.include_router(public.router)
    openapi.describe(app, error_bodies=(Error, OpenAIError))
    app.add_middleware(Admission)
    errors.add_handlers(app)
    return app


def _living(gateway: Gateway) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await gateway.start()
        try:
            yield
        finally:
            await gateway.stop()

    return lifespan
