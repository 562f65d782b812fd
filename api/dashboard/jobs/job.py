"""One job: what it was asked, its text as it comes, where its time went, and why it runs where it runs."""

from collections.abc import Sequence

from fastapi import Response
from msgspec.structs import replace
from starlette.requests import Request

from api.dashboard.jobs import conversation
from api.dashboard.jobs.advice import advice
from api.dashboard.jobs.timeline import timeline
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
from cluster.messages.records import CompletedRecord, FailedRecord, JobRecord
from cluster.messages.work import Job

router = pages()

_MOST_ATTEMPTS = 10
_MOST_CANDIDATES = 8


@router.get("/jobs/{job_id}")
async def job(request: Request, gateway: CurrentGateway, caller: Caller, job_id: JobPath) -> Response:
    seen = account_seen(caller)
    asked = await gateway.asked(job_id, seen)
    record = await gateway.job(job_id, seen)
    shown = {
        "prompt": conversation.asked(asked),
        "owner": await _owner(gateway, caller, asked),
        **_answer(record),
        **await _now(gateway, caller, record, asked),
    }
    return page(request, "jobs/job.html", shown)


@router.get("/jobs/{job_id}/now")
async def now(request: Request, gateway: CurrentGateway, caller: Caller, job_id: JobPath) -> Response:
    """What changes while it has not ended, but for its text."""
    seen = account_seen(caller)
    asked = await gateway.asked(job_id, seen)
    record = await gateway.job(job_id, seen)
    return page(request, "jobs/now.html", await _now(gateway, caller, record, asked))


@router.get("/jobs/{job_id}/answer")
async def answer(request: Request, gateway: CurrentGateway, caller: Caller, job_id: JobPath) -> Response:
    """What it answered, as it is known once it has ended."""
    record = await gateway.job(job_id, account_seen(caller))
    return page(request, "jobs/answer.html", {"job": job_body(record), **_answer(record)})


@router.post("/jobs/{job_id}/cancel")
async def cancel(request: Request, gateway: CurrentGateway, caller: Caller, job_id: JobPath) -> Response:
    """Cancel it. The answer is what is so now."""
    seen = account_seen(caller)
    asked = await gateway.asked(job_id, seen)
    record = await gateway.cancel(job_id, seen)
    return page(request, "jobs/now.html", await _now(gateway, caller, record, asked))


async def _now(gateway: Gateway, caller: Principal, record: JobRecord, asked: Job) -> dict[str, object]:
    explanation = await gateway.placement(record.id, account_seen(caller))
    has_ended = isinstance(record, (CompletedRecord, FailedRecord))
    until_ms = record.ended_ms if isinstance(record, (CompletedRecord, FailedRecord)) else gateway.now_ms()
    return {
        "job": job_body(record),
        "is_open": not has_ended,
        "usage": usage_body(record.usage) if isinstance(record, (CompletedRecord, FailedRecord)) else None,
        "cost": cost(asked.rates, record.usage) if isinstance(record, (CompletedRecord, FailedRecord)) else None,
        "advice": advice(record.error) if isinstance(record, FailedRecord) else None,
        "timeline": timeline(record.created_ms, explanation.attempts, None, until_ms),
        "placement": placement_body(_shortened(explanation)),
        "earlier_attempts": max(0, len(explanation.attempts) - _MOST_ATTEMPTS),
    }


def _answer(record: JobRecord) -> dict[str, object]:
    """What there is of its answer once it has ended."""
    if not isinstance(record, (CompletedRecord, FailedRecord)):
        return {"answer": None}
    return {"answer": conversation.answered(record.content, record.marks)}


async def _owner(gateway: Gateway, caller: Principal, asked: Job) -> dict[str, str]:
    """The names of the account, for admins, and of the key that it was submitted with."""
    keys = await gateway.keys(asked.account_id)
    named = {"key": next((key.name for key in keys if key.id == asked.key_id), asked.key_id)}
    if caller.role == "admin":
        accounts = await gateway.accounts()
        named["account"] = next((each.name for each in accounts if each.id == asked.account_id), asked.account_id)
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
