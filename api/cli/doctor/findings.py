"""What a doctor finds: of one thing each, how it is, and what to do where it is not well."""

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct


class Status(StrEnum):
    """`fault`: a system does not start or does not work. `warning`: it does, and somebody may be hurt later."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


class Finding(Struct, frozen=True):
    """How one thing is, in a sentence, and what to do about it. `area` is what it belongs to, such as `ports`."""

    area: str
    status: Status
    said: str
    cure: str | None = None


def ok(area: str, said: str) -> Finding:
    return Finding(area, Status.OK, said)


def warning(area: str, said: str, cure: str) -> Finding:
    return Finding(area, Status.WARNING, said, cure)


def fault(area: str, said: str, cure: str) -> Finding:
    return Finding(area, Status.FAULT, said, cure)


def summary(findings: Iterable[Finding]) -> str:
    """`1 fault, 2 warnings`, or that all is well."""
    statuses = [finding.status for finding in findings]
    counts = {status: statuses.count(status) for status in (Status.FAULT, Status.WARNING)}
    parts = [f"{count} {status}{'' if count == 1 else 's'}" for status, count in counts.items() if count]
    return ", ".join(parts) or f"All {len(statuses)} are well"
