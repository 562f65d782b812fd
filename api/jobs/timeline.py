"""What became of a job."""

from collections.abc import Sequence
from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from api.http.bodies import JobIdText, NodeIdText
from cluster.ids import JobId
from cluster.messages.explanations import Moment, MomentEvent
from cluster.messages.placements import MovedBy


class TimelineEvent(TypedDict):
    """Something that happened with a job.

    From `queued` and `moved` on it waits, from `placed` on its prompt is read, and from `first_token` on its answer is
    written. What engines tell is known when it is heard; where that is not known any more, there is no `first_token`.
    """

    event: MomentEvent
    at_ms: Annotated[int, Field(description="Milliseconds since the Unix epoch")]
    after_ms: Annotated[int, Field(ge=0, description="Milliseconds since it was queued")]
    attempt: NotRequired[Annotated[int, Field(ge=1, description="The attempt that it is about, or was moved from")]]
    node_id: NotRequired[NodeIdText]
    engine_id: NotRequired[str]
    moved_by: NotRequired[Annotated[MovedBy, Field(description="Why it lost its engine")]]


class JobTimeline(TypedDict):
    """What became of a job so far, in its order. Why an engine was chosen is told by the job's placement."""

    id: JobIdText
    timeline: list[TimelineEvent]


def timeline_body(job_id: JobId, moments: Sequence[Moment]) -> JobTimeline:
    return {"id": job_id, "timeline": [_event_body(moment, moments[0].at_ms) for moment in moments]}


def _event_body(moment: Moment, queued_ms: int) -> TimelineEvent:
    body: TimelineEvent = {
        "event": moment.event,
        "at_ms": moment.at_ms,
        "after_ms": moment.at_ms - queued_ms,
    }
    if moment.attempt is not None:
        body["attempt"] = moment.attempt
    if moment.node_id is not None:
        body["node_id"] = moment.node_id
    if moment.engine_id is not None:
        body["engine_id"] = moment.engine_id
    if moment.moved_by is not None:
        body["moved_by"] = moment.moved_by
    return body
