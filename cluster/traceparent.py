"""Places in a trace, as HTTP tells them: https://www.w3.org/TR/trace-context/#traceparent-header. Pure."""

import hashlib
import re
from typing import NamedTuple

_HEADER = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_SAMPLED = 0x01


class SpanPlace(NamedTuple):
    """A span in its trace, by their numbers, neither of which is 0."""

    trace_id: int
    span_id: int
    is_sampled: bool = True

    def __str__(self) -> str:
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{_SAMPLED if self.is_sampled else 0:02x}"


def read(header: str) -> SpanPlace | None:
    """The place that a header names, None for what is none. Later versions may say more."""
    match = _HEADER.fullmatch(header.strip(" \t"))
    if match is None or match["version"] == "ff" or (match["version"] == "00" and match["more"]):
        return None
    trace_id, span_id = int(match["trace"], 16), int(match["span"], 16)
    if not trace_id or not span_id:
        return None
    return SpanPlace(trace_id, span_id, bool(int(match["flags"], 16) & _SAMPLED))


def of_job(trace: str, job_id: str, label: str = "") -> str:
    """The place of one of a job's spans in this trace; nothing where there is no trace.

    It is made of the job's id: whoever works on the job knows it without having been told, also after a restart.
    """
    if not trace:
        return ""
    number = hashlib.sha256(f"{job_id}/{label}".encode()).digest()[:8]
    place = read(trace)
    return "" if place is None else str(SpanPlace(place.trace_id, int.from_bytes(number, "big") or 1))
