"""What a line of a log looks like, and which job and request it concerns.

The formats are written down in docs/operations.md: others read them.
"""

import json
import logging
import os
import time
from collections.abc import Mapping
from typing import NamedTuple

from actors.telemetry import origins
from cluster.messages.origin import UNKNOWN_ORIGIN, Origin
from cluster.messages.work import Job
from cluster.settings.sections.logs import LogFormat

_SECONDS = "%Y-%m-%dT%H:%M:%S"
_CONCERN = "concern"
_TRACE = slice(3, 35)  # the trace's part of a traceparent


class Concern(NamedTuple):
    """A job, and the request that it came by, or a request alone."""

    job_id: str = ""
    origin: Origin = UNKNOWN_ORIGIN


def about(job_id: str, origin: Origin = UNKNOWN_ORIGIN) -> Mapping[str, object]:
    """The `extra` of a line that concerns this job."""
    return {_CONCERN: Concern(job_id, origin)}


def about_job(job: Job) -> Mapping[str, object]:
    """The `extra` of a line that concerns this job."""
    return about(job.id, job.origin)


def job_of(record: logging.LogRecord) -> str:
    """The job that a line concerns; nothing where it concerns none."""
    concern: Concern = getattr(record, _CONCERN, None) or Concern()
    return concern.job_id


def formatter(part: str, written_as: LogFormat) -> logging.Formatter:
    """For lines of this part of the system."""
    return _Json(part) if written_as == "json" else _Text(part)


class _InUtc(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return time.strftime(datefmt or _SECONDS, time.gmtime(record.created))


class _Text(_InUtc):
    """`TIME LEVEL PART[PID] MESSAGE`, and what it concerns as ` job=ID request=ID trace=ID`, as far as it is known."""

    def __init__(self, part: str) -> None:
        line = f"%(asctime)s.%(msecs)03dZ %(levelname)s {part}[{os.getpid()}] %(message)s"
        super().__init__(line, _SECONDS)

    def formatMessage(self, record: logging.LogRecord) -> str:
        return super().formatMessage(record) + "".join(f" {name}={value}" for name, value in _concerns(record).items())


class _Json(_InUtc):
    """One object, of which all fields are always there: null is what is not known."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self._part = part

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        fields = {
            "time": f"{self.formatTime(record, _SECONDS)}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "part": self._part,
            "pid": os.getpid(),
            "message": message,
            "job": None,
            "request": None,
            "trace": None,
        }
        return json.dumps(fields | _concerns(record), ensure_ascii=False)


def _concerns(record: logging.LogRecord) -> dict[str, str]:
    concern: Concern = getattr(record, _CONCERN, None) or Concern()
    origin = origins.current() if concern.origin is UNKNOWN_ORIGIN else concern.origin
    known = {"job": concern.job_id, "request": origin.request_id, "trace": origin.trace[_TRACE]}
    return {name: value for name, value in known.items() if value}
