"""Submitting jobs, and reading them as records and as streams."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.responses import JSONResponse

from api.cursor import decode_cursor, encode_cursor
from api.dependencies import Body, Caller, CurrentGateway
from api.queries import parse_since, parse_status
from api.schemas import accepted_body, job_body, parse_job
from api.sse import PING_S, EventStream
from cluster.errors import BadRequest
from cluster.ids import JobId, new_job_id
from cluster.messages import JobQuery

router = APIRouter(tags=["jobs"])


@router.post("/jobs")
async def submit_job(gateway: CurrentGateway, caller: Caller, body: Body) -> Response:
    """Submit a chat job. With `stream: true` the answer is the job's stream."""
    request = parse_job(body)
    model = gateway.model(request.model)
    created_ms = gateway.now_ms()
    job = request.job(new_job_id(), model.id, caller, created_ms, gateway.deadline_ms(created_ms))
    await gateway.submit(job)
    if not request.stream:
        return JSONResponse(accepted_body(job))
    pieces = gateway.streams.read(job.id, job.account_id, after=0, silence_s=PING_S)
    return EventStream(pieces, {"X-Job-Id": job.id, "Location": f"/api/v1/jobs/{job.id}"})


@router.get("/jobs")
async def list_jobs(
    gateway: CurrentGateway,
    caller: Caller,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    status: str = "all",
    since: str | None = None,
    cursor: str | None = None,
) -> dict[str, Any]:
    """The account's jobs, newest first."""
    before = decode_cursor(cursor) if cursor is not None else None
    # One more than asked for tells whether more follow.
    query = JobQuery(limit + 1, parse_status(status), parse_since(since), before)
    records = await gateway.jobs(caller.account_id, query)
    listed = records[:limit]
    body: dict[str, Any] = {"jobs": [job_body(record) for record in listed]}
    if len(records) > limit:
        body["next_cursor"] = encode_cursor(listed[-1])
    return body


@router.get("/jobs/{job_id}")
async def get_job(
    gateway: CurrentGateway, caller: Caller, job_id: str, wait: Annotated[int, Query(ge=0, le=60)] = 0
) -> dict[str, Any]:
    """A job's status and result; with `wait`, once it has ended or so many seconds have passed."""
    return job_body(await gateway.job_within(job_id, caller.account_id, wait))


@router.post("/jobs/{job_id}/cancel")
async def cancel_job(gateway: CurrentGateway, caller: Caller, job_id: str) -> dict[str, Any]:
    """Cancel a job that has not ended. What it has produced stays, and is billed."""
    return job_body(await gateway.cancel(job_id, caller.account_id))


@router.get("/jobs/{job_id}/stream")
async def stream_job(
    request: Request,
    gateway: CurrentGateway,
    caller: Caller,
    job_id: str,
    after: str | None = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """A job's text as server-sent events, from the start or from a position, live or replayed."""
    position = _position("after", after) if after is not None else _position("Last-Event-ID", last_event_id or "0")
    record = await gateway.job(job_id, caller.account_id)
    pieces = gateway.streams.read(JobId(job_id), record.account_id, position, PING_S)
    return EventStream(pieces)


def _position(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit()) or len(value) > 18:
        raise BadRequest(f"{name}: must be a whole number of characters, not negative")
    return int(value)
