"""A job's prompt and result as files."""

from typing import Literal

import msgspec
from fastapi import Response

from api.dashboard.routing import pages
from api.http.dependencies import Caller, CurrentGateway
from api.http.parameters import JobPath
from api.jobs.schemas import job_body
from cluster.ids import JobId
from cluster.keys import account_seen
from cluster.messages.records import EndedRecord
from cluster.text.answers import choices, count_of

router = pages()


@router.get("/jobs/{job_id}/result.json")
async def result(gateway: CurrentGateway, caller: Caller, job_id: JobPath) -> Response:
    """The job as the API tells it."""
    record = await gateway.jobs.get(job_id, account_seen(caller))
    return _file(record.id, "json", msgspec.json.format(msgspec.json.encode(job_body(record))))


@router.get("/jobs/{job_id}/result.txt")
async def text(gateway: CurrentGateway, caller: Caller, job_id: JobPath) -> Response:
    """What it answered, or had of an answer: the text alone, of several choices one after the other."""
    record = await gateway.jobs.get(job_id, account_seen(caller))
    if not isinstance(record, EndedRecord):
        return _file(record.id, "txt", b"")
    answers = choices(record.content, record.marks, count_of(record.marks))
    return _file(record.id, "txt", "\n\n".join(choice.content or "" for choice in answers).encode())


@router.get("/jobs/{job_id}/prompt.json")
async def prompt(gateway: CurrentGateway, caller: Caller, job_id: JobPath) -> Response:
    """What it asks: the messages, or the body of the request where that is more than texts."""
    job = await gateway.jobs.asked(job_id, account_seen(caller))
    body = {"messages": job.messages} if job.form is None else msgspec.json.decode(job.form.body)
    return _file(job.id, "json", msgspec.json.format(msgspec.json.encode(body)), "-prompt")


def _file(job_id: JobId, kind: Literal["json", "txt"], content: bytes, suffix: str = "") -> Response:
    return Response(
        content,
        media_type="application/json" if kind == "json" else "text/plain; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{job_id}{suffix}.{kind}"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        },
    )
