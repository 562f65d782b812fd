"""The FastAPI application: routes, the errors' one shape, and the gateway's life."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from api.admission import Admission, error_response, internal_error_response
from api.gateway import Gateway
from api.routes import health, jobs, models, nodes
from cluster.errors import BadRequest, InfernetError, MethodNotAllowed, NotFound


def create_app(gateway: Gateway) -> FastAPI:
    """The application on this gateway, which lives as long as the application does."""
    app = FastAPI(title="Infernet on Ray", lifespan=_living(gateway), redirect_slashes=False)
    app.state.gateway = gateway
    for routes in (jobs, models, nodes):
        app.include_router(routes.router, prefix="/api/v1")
    app.include_router(health.router)
    app.add_middleware(Admission)
    app.add_exception_handler(InfernetError, _infernet_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(Exception, _unexpected_error)
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


async def _infernet_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, InfernetError)
    return error_response(error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == MethodNotAllowed.status:
        return error_response(MethodNotAllowed(f"{request.method} is not allowed here"))
    if error.status_code == NotFound.status:
        return error_response(NotFound("No such path"))
    return error_response(BadRequest(str(error.detail)))


async def _validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problem = error.errors()[0]
    return error_response(BadRequest(f"{problem['loc'][-1]}: {problem['msg']}"))


async def _unexpected_error(request: Request, error: Exception) -> Response:
    return internal_error_response(request, error)
