"""The FastAPI application: routes, the errors' shape, and the gateway's life."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI

from api.accounts import routes as accounts
from api.dashboard.app import add_dashboard
from api.history import routes as history
from api.http import answers, openapi
from api.http.admission import Admission
from api.http.answers import Error
from api.http.front.cors import Cors
from api.http.front.heads import Heads
from api.http.front.paths import PlainPaths
from api.http.front.request_ids import RequestIds
from api.http.front.traced import Traced
from api.jobs import routes as jobs
from api.keys import routes as keys
from api.models import routes as models
from api.nodes import routes as nodes
from api.openai import pooling_routes as pooling
from api.openai import tokenize
from api.openai.error_shape import OPENAI_ERRORS, OpenAIError
from api.openai.routes import router as openai_router
from api.openai.text_routes import router as text_router
from api.replica.gateway import Gateway
from api.system import routes as system
from api.usage import routes as usage
from api.webhooks import routes as webhooks


def create_app(gateway: Gateway, cors_origins: Sequence[str] = (), tells_request_ids: bool = True) -> FastAPI:
    """The application on this gateway, which lives as long as the application does.

    Pages of `cors_origins` may ask it. Without `tells_request_ids`, the server around it tells the ids of requests.
    """
    app = FastAPI(
        title="Infernet on Ray",
        lifespan=_living(gateway),
        redirect_slashes=False,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    app.state.gateway = gateway
    for routes in (jobs, models, nodes, keys, accounts, usage, history, webhooks):
        app.include_router(routes.router, prefix="/api/v1")
    app.include_router(openai_router, prefix="/v1")
    app.include_router(text_router, prefix="/v1")
    app.include_router(tokenize.router)
    app.include_router(pooling.router)
    app.include_router(system.router)
    add_dashboard(app)
    openapi.describe(app, error_bodies=(Error, OpenAIError))
    app.add_middleware(Admission)
    app.add_middleware(Traced)
    if cors_origins:
        app.add_middleware(Cors, origins=cors_origins)
    app.add_middleware(Heads)
    app.add_middleware(PlainPaths)
    app.add_middleware(RequestIds, tells=tells_request_ids)  # what is added last comes first
    answers.add_handlers(app, OPENAI_ERRORS)
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
