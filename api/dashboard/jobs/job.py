"""One job: what it was asked, its text as it comes, where its time went, and why it runs where it runs."""

from collections.abc import Sequence

from fastapi import Response
from msgspec.structs import replace
from starlette.requests import Request

from api.dashboard.jobs import conversation
from api.dashboard.jobs.advice import advice
from api.dashboard.jobs.timeline import drawn
from api.dashboard.rendering import page
from api.dashboard.routing import pages
from api.http.dependencies import Caller, CurrentGateway
from api.http.parameters import JobPath
from api.jobs.placement import placement_body
from api.jobs.schemas import job_body, usage_body
from api.replica.gateway import Gateway
from cluster.keys import account_seen
from cluster.limits.pricing import cost
from cluster.messages.explanations import Explanation
from cluster.messages.people import Principal
from cluster.messages.placements import Placed, Verdict
from cluster.messages.records import EndedRecord, FailedRecord, JobRecord
from cluster.messages.work import Job

router = pages()

_MOST_ATTEMPTS = 10
_MOST_CANDIDATES = 8


@router.get("/jobs/{job_id}")
async def job(request: Request, gateway: CurrentGateway, caller: Caller, job_id: JobPath) -> Response:
    seen = account_seen(caller)
    asked = await gateway.jobs.asked(job_id, seen)
    record = await gateway.jobs.get(job_id, seen)
    shown = {
        "prompt": conversation.asked(asked),
        "can_be_asked_again": conversation.question(asked) is not None,
        "owner": await _owner(gateway, caller, asked),
        **await _now(gateway, record, asked),
    }
    return page(request, "jobs/job.html", shown)


@router.get("/jobs/{job_id}/now")
async def now(request: Request, gateway: CurrentGateway, caller: Caller, job_id: JobPath) -> Response:
    """What changes while it has not ended; its text is streamed, and told here with its end."""
    seen = account_seen(caller)
    asked = await gateway.jobs.asked(job_id, seen)
    record = await gateway.jobs.get(job_id, seen)
    return page(request, "jobs/now.html", await _now(gateway, record, asked))


@router.post("/jobs/{job_id}/cancel")
async def cancel(request: Request, gateway: CurrentGateway, caller: Caller, job_id: JobPath) -> Response:
    """Cancel it. The answer is what is so now."""
    seen = account_seen(caller)
    asked = await gateway.jobs.asked(job_id, seen)
    record = await gateway.jobs.cancel(job_id, seen)
    return page(request, "jobs/now.html", await _now(gateway, record, asked))


async def _now(gateway: Gateway, record: JobRecord, asked: Job) -> dict[str, object]:
    explanation, moments, away = await gateway.jobs.course(record)
    ended = record if isinstance(record, EndedRecord) else None
    return {
        "job": job_body(record),
        "is_open": ended is None,
        "away": away,
        "answer": None if ended is None else conversation.answered(ended.content, ended.marks),
        "usage": None if ended is None else usage_body(ended.usage),
        "cost": None if ended is None else cost(asked.rates, ended.usage),
        "advice": advice(record.error) if isinstance(record, FailedRecord) else None,
        "timeline": drawn(moments, gateway.now_ms()),
        "placement": placement_body(_shortened(explanation)),
        "earlier_attempts": max(0, len(explanation.attempts) - _MOST_ATTEMPTS),
    }


async def _owner(gateway: Gateway, caller: Principal, asked: Job) -> dict[str, str]:
    """The names of the account, for admins, and of the key that it was submitted with."""
    named = {"key": (await gateway.keys.get(asked.key_id, asked.account_id)).name}
    if caller.role == "admin":
        named["account"] = (await gateway.accounts.get(asked.account_id)).name
    return named


def _shortened(explanation: Explanation) -> Explanation:
    """The last attempts, each with the engine it went to and the best of the others."""
    attempts = tuple(_with_few(placed) for placed in explanation.attempts[-_MOST_ATTEMPTS:])
    standing = explanation.standing
    if standing is not None:
        standing = replace(standing, verdicts=tuple(_best(standing.verdicts)))
    return replace(explanation, attempts=attempts, standing=standing)


def _with_few(placed: Placed) -> Placed:
    chosen = [verdict for verdict in placed.considered if verdict.engine_id == placed.engine_id]
    others = [verdict for verdict in placed.considered if verdict.engine_id != placed.engine_id]
    return replace(placed, considered=(*chosen, *_best(others)[: _MOST_CANDIDATES - 1]))


def _best(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Those that could take it first, and of those the ones that cost least."""
    return sorted(verdicts, key=lambda each: (each.ruled_out_by is not None, each.score, each.engine_id))[
        :_MOST_CANDIDATES
    ]
