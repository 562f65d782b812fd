"""The application's routes, asked of a request."""

from collections.abc import Iterator

from starlette.routing import Match, Mount, Route
from starlette.types import Scope


def of_path(scope: Scope) -> Iterator[Route]:
    """The routes of the request's path, whatever their methods."""
    for route in scope["app"].routes:
        if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE:
            yield route


def template(scope: Scope) -> str:
    """The request's path as the application has it, such as `/jobs/{job_id}`; nothing where it has no such path.

    Of a request that was refused before it was routed, it is looked for.
    """
    route = scope.get("route") or next(of_path(scope), None)
    return route.path if isinstance(route, Route | Mount) else ""
