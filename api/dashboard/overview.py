"""Overview: how the network does, now and in the last hour, and what is wrong."""

import asyncio

from fastapi import Response
from starlette.requests import Request

from actors.wire.calls import AWAY
from api.dashboard.plots import hour
from api.dashboard.problems import problems
from api.dashboard.rendering import page
from api.dashboard.routing import pages
from api.history.schemas import history_body
from api.http.answers import Answer
from api.http.dependencies import Admin, Caller, CurrentGateway
from api.jobs.schemas import job_body
from api.replica.gateway import Gateway
from cluster.messages.money import UsageQuery
from cluster.messages.people import Principal
from cluster.messages.records import JobQuery

router = pages()

_MINUTES = 60
_DAY_MS = 86_400_000
_MOST_AT_A_GLANCE = 12
_LAST_JOBS = 5


@router.get("/")
async def overview(request: Request, gateway: CurrentGateway, caller: Caller) -> Response:
    return page(request, "overview.html", await _now(gateway, caller))


@router.get("/overview/now")
async def now(request: Request, gateway: CurrentGateway, caller: Caller) -> Response:
    """What changes, asked for again and again."""
    return page(request, "parts/overview_now.html", await _now(gateway, caller))


@router.get("/overview/plots")
async def plots(gateway: CurrentGateway, caller: Admin) -> Response:
    """The last hour, as the plots are drawn from."""
    return Answer(hour(await gateway.usage.history(_MINUTES)))


async def _now(gateway: Gateway, caller: Principal) -> dict[str, object]:
    state, of_whom = await asyncio.gather(gateway.health.state(with_totals=False), _of_whom(gateway, caller))
    models, nodes = state.models or (), state.nodes or ()
    return {
        "problems": problems(state),
        "is_seen": state.models is not None and state.nodes is not None,
        "models": models[:_MOST_AT_A_GLANCE],
        "more_models": max(0, len(models) - _MOST_AT_A_GLANCE),
        "nodes": nodes[:_MOST_AT_A_GLANCE],
        "more_nodes": max(0, len(nodes) - _MOST_AT_A_GLANCE),
        "queued": sum(view.queued for view in models),
        "running": sum(len(engine.running) for node in nodes for engine in node.engines),
        **of_whom,
    }


async def _of_whom(gateway: Gateway, caller: Principal) -> dict[str, object]:
    """Of the whole system or of an account; nothing of it while what it is added up from is away."""
    try:
        return await _hour(gateway) if caller.role == "admin" else await _own(gateway, caller)
    except AWAY:
        return {"history": None, "used": None, "jobs": None}


async def _hour(gateway: Gateway) -> dict[str, object]:
    """Of the whole system, for admins."""
    body = history_body(await gateway.usage.history(_MINUTES))
    latest = body["minutes"][-1]
    return {
        "history": body,
        "tokens_per_second": latest.get("tokens_per_second"),
        "failed": sum(minute["jobs_failed"] for minute in body["minutes"]),
        "ended": sum(minute["jobs_failed"] + minute["jobs_completed"] for minute in body["minutes"]),
    }


async def _own(gateway: Gateway, caller: Principal) -> dict[str, object]:
    """Of a member's account."""
    now_ms = gateway.now_ms()
    [used] = await gateway.usage.sums(UsageQuery(caller.account_id, since_ms=now_ms - now_ms % _DAY_MS))
    found = await gateway.jobs.page(caller.account_id, JobQuery(_LAST_JOBS))
    return {"history": None, "used": used, "jobs": [job_body(record) for record in found.records]}
