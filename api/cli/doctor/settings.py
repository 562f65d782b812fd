"""Whether a system would start with these settings."""

from collections.abc import Iterator

from api.cli.doctor.findings import Finding, fault, ok, warning
from api.cli.doctor.subject import Subject

_AREA = "settings"


def look(subject: Subject) -> Iterator[Finding]:
    for mistake in subject.mistakes:
        yield fault(_AREA, mistake, "mend it; `infernet check` tells whether all is well then")
    for note in subject.notes:
        yield warning(_AREA, note, "see whether it is meant so")
    if subject.settings is not None:
        models = ", ".join(model.id for model in subject.settings.models)
        yield ok(_AREA, f"{subject.named}: no mistakes; serves {models}")
