"""Submitting jobs, and reading them as records and as streams."""

from typing import Annotated

from fastapi import APIRouter, Header, Response
from pydantic import WithJsonSchema

from api.http import parameters as queries
from api.http.answers import Answer
from api.http.bodies import parse
from api.http.dependencies import Caller, CurrentGateway
from api.http.openapi import EVENTS, GUARDED, errors, takes
from api.http.parameters import IdempotencyKey, JobPath, KnownAndOnce, decode_cursor, encode_cursor
from api.http.sse import EventStream
from api.http.uploads import LargeBody, check_size
from api.jobs.placement import JobPlacement, placement_body
from api.jobs.schemas import Job, JobAccepted, JobList, JobRequest, accepted_body, job_body
from api.jobs.timeline import JobTimeline, timeline_body
from cluster.errors import (
    BadRequest,
    BudgetExceeded,
    Conflict,
    ContextLengthExceeded,
    Forbidden,
    JobNotFound,
    ModelNotFound,
    NoCapacity,
    NodeNotFound,
    PayloadTooLarge,
)
from cluster.keys import account_seen, accounts_named
from cluster.messages.people import Principal
from cluster.messages.records import JobQuery, JobRecord
from cluster.messages.work import Order, Position

router = APIRouter(tags=["jobs"], dependencies=[KnownAndOnce], responses=errors(*GUARDED, BadRequest))

_REFUSALS = errors(
    BadRequest,
    ContextLengthExceeded,
    BudgetExceeded,
    Forbidden,
    ModelNotFound,
    NodeNotFound,
    Conflict,
    PayloadTooLarge,
    NoCapacity,
)
_ACCEPTED = {
    "description": "The job has been accepted, durably. With `stream: true`: its stream",
    "content": EVENTS,
    "headers": {
        "X-Job-Id": {"schema": {"type": "string"}, "description": "With `stream: true`: the job"},
        "Location": {"schema": {"type": "string"}, "description": "With `stream: true`: where the job is"},
    },
}

LastEventId = Annotated[
    str | None,
    WithJsonSchema({"type": "string", "pattern": queries.POSITION_PATTERN}),
    Header(alias="Last-Event-ID", description="The same as `after`, as an event source sends it; `after` wins"),
]


@router.post(
    "/jobs",
    response_model=JobAccepted,
    responses={200: _ACCEPTED, **_REFUSALS},
    openapi_extra=takes(JobRequest),
)
async def submit_job(
    gateway: CurrentGateway, caller: Caller, upload: LargeBody, idempotency_key: IdempotencyKey
) -> Response:
    """Submit a chat job. With `stream: true` the answer is the job's stream."""
    order, stream = await _ordered(upload.take())
    job = await gateway.intake.accept(caller, order, idempotency_key)
    upload.done()
    if not stream:
        return Answer(accepted_body(job))
    pieces = gateway.streams.read(job.id, caller.account_id, is_new=idempotency_key is None)
    return EventStream(pieces, {"X-Job-Id": job.id, "Location": f"/api/v1/jobs/{job.id}"})


async def _ordered(body: bytes) -> tuple[Order, bool]:
    """What is asked for, and whether as a stream. Raises BadRequest."""
    request = parse(JobRequest, body)
    order = await request.order(body)
    check_size(body, order.media)
    return order, request.stream


@router.get("/jobs", response_model=JobList, responses=errors(BadRequest, Forbidden))
async def list_jobs(
    gateway: CurrentGateway,
    caller: Caller,
    limit: queries.Limit = 20,
    status: queries.StatusName = "all",
    since: queries.Since = None,
    cursor: queries.Cursor = None,
    until: queries.Until = None,
    model: queries.ModelName = None,
    key: queries.KeyName = None,
    node: queries.NodeName = None,
    error: queries.ErrorCode = None,
    account: queries.AccountOrAll = None,
) -> Response:
    """The account's jobs that are all of what is asked for, newest first; an admin may name another account, or `all`.

    A search that takes long is answered with what was found until then: more may follow a page that is not full.
    """
    query = JobQuery(
        limit,
        queries.state_of(status),
        since,
        None if cursor is None else decode_cursor(cursor),
        until,
        model,
        key,
        node,
        error,
    )
    page = await gateway.jobs.page(accounts_named(caller, account), query)
    body: JobList = {"jobs": [job_body(record, with_owner=account is not None) for record in page.records]}
    if page.next is not None:
        body["next_cursor"] = encode_cursor(page.next)
    return Answer(body)


@router.get("/jobs/{job_id}", response_model=Job, responses=errors(BadRequest, JobNotFound))
async def get_job(gateway: CurrentGateway, caller: Caller, job_id: JobPath, wait: queries.Wait = 0) -> Response:
    """A job's status and result; with `wait`, once it has ended or so many seconds have passed."""
    return Answer(_body(caller, await gateway.jobs.get_within(job_id, account_seen(caller), wait)))


@router.post("/jobs/{job_id}/cancel", response_model=Job, responses=errors(JobNotFound, Conflict))
async def cancel_job(gateway: CurrentGateway, caller: Caller, job_id: JobPath) -> Response:
    """Cancel a job that has not ended. What it has produced stays, and is billed."""
    return Answer(_body(caller, await gateway.jobs.cancel(job_id, account_seen(caller))))


@router.delete("/jobs/{job_id}", status_code=204, responses=errors(JobNotFound, Conflict))
async def remove_job(gateway: CurrentGateway, caller: Caller, job_id: JobPath) -> Response:
    """Remove a job that has ended: its prompt, its texts and how it was placed. What it used stays in the usage."""
    await gateway.jobs.remove(job_id, account_seen(caller))
    return Response(status_code=204)


@router.get("/jobs/{job_id}/placement", response_model=JobPlacement, responses=errors(JobNotFound))
async def get_placement(gateway: CurrentGateway, caller: Caller, job_id: JobPath) -> Response:
    """Why a job runs where it runs: the engines considered, what ruled each out, and every attempt."""
    return Answer(placement_body(await gateway.jobs.placement(job_id, account_seen(caller))))


@router.get("/jobs/{job_id}/timeline", response_model=JobTimeline, responses=errors(JobNotFound))
async def get_timeline(gateway: CurrentGateway, caller: Caller, job_id: JobPath) -> Response:
    """What became of a job: when it was queued, placed, told its first token, was moved, and ended, in milliseconds."""
    return Answer(timeline_body(job_id, await gateway.jobs.timeline(job_id, account_seen(caller))))


@router.get(
    "/jobs/{job_id}/stream",
    status_code=200,
    response_class=EventStream,
    responses={
        200: {"description": "The text as events, then how it ended"},
        204: {"description": "All has been told: the answer to who goes on from the end, which event sources do"},
        **errors(BadRequest, JobNotFound),
    },
)
async def stream_job(
    gateway: CurrentGateway,
    caller: Caller,
    job_id: JobPath,
    after: queries.After = None,
    last_event_id: LastEventId = None,
) -> Response:
    """A job's text as server-sent events, from the start or from a position, live or replayed."""
    position = _position(after, last_event_id)
    record = await gateway.jobs.get(job_id, account_seen(caller))
    if position is None:
        return Response(status_code=204)
    pieces = gateway.streams.read(record.id, record.account_id, position)
    return EventStream(pieces, resumes=position.offset > 0)


def _body(caller: Principal, record: JobRecord) -> Job:
    """A job; whose it is, where it is not the caller's account's."""
    return job_body(record, with_owner=record.account_id != caller.account_id)


def _position(after: str | None, last_event_id: str | None) -> Position | None:
    if after is not None:
        return queries.parse_position("after", after)
    return queries.parse_position("Last-Event-ID", last_event_id)
