"""The last minutes, one by one."""

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from cluster.clock import iso_utc
from cluster.measures.history import History, Minute

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, description="Not told where no job completed")]
Seen = Annotated[int, Field(ge=0, description="The most at once; not told of a minute in which nobody looked")]


class HistoryMinute(TypedDict):
    """A minute: the jobs that ended in it, and what the control plane saw of it."""

    minute: Annotated[str, Field(description="When it began, in UTC", json_schema_extra={"format": "date-time"})]
    jobs_completed: Count
    jobs_failed: Count
    prompt_tokens: Annotated[int, Field(ge=0, description="Of the jobs that ended")]
    completion_tokens: Annotated[int, Field(ge=0, description="Of the jobs that ended")]
    cost: Annotated[int, Field(ge=0, description="Of the jobs that ended, in millionths of the currency unit")]
    first_text_p50_s: NotRequired[Seconds]
    first_text_p95_s: NotRequired[Seconds]
    queued: NotRequired[Seen]
    running: NotRequired[Seen]
    tokens_per_second: NotRequired[
        Annotated[float, Field(ge=0, description="As they were generated; not told of a minute in which nobody looked")]
    ]


class HistoryReport(TypedDict):
    """The last minutes, the oldest first. The last one is not over."""

    minutes: list[HistoryMinute]
    cost_today: Annotated[
        int, Field(ge=0, description="Of all that has ended since midnight UTC, in millionths of the currency unit")
    ]
    first_text_p50_s: NotRequired[Annotated[float, Field(ge=0, description="Of all these minutes together")]]
    first_text_p95_s: NotRequired[Annotated[float, Field(ge=0, description="Of all these minutes together")]]


def history_body(history: History) -> HistoryReport:
    body: HistoryReport = {
        "minutes": [_minute_body(each) for each in history.minutes],
        "cost_today": history.cost_today,
    }
    if history.first_text_p50_s is not None:
        body["first_text_p50_s"] = round(history.first_text_p50_s, 4)
    if history.first_text_p95_s is not None:
        body["first_text_p95_s"] = round(history.first_text_p95_s, 4)
    return body


def _minute_body(minute: Minute) -> HistoryMinute:
    body: HistoryMinute = {
        "minute": iso_utc(minute.start_ms),
        "jobs_completed": minute.completed,
        "jobs_failed": minute.failed,
        "prompt_tokens": minute.prompt_tokens,
        "completion_tokens": minute.completion_tokens,
        "cost": minute.cost,
    }
    if minute.first_text_p50_s is not None:
        body["first_text_p50_s"] = round(minute.first_text_p50_s, 4)
    if minute.first_text_p95_s is not None:
        body["first_text_p95_s"] = round(minute.first_text_p95_s, 4)
    if minute.queued is not None:
        body["queued"] = minute.queued
    if minute.running is not None:
        body["running"] = minute.running
    if minute.tokens_per_second is not None:
        body["tokens_per_second"] = round(minute.tokens_per_second, 1)
    return body
