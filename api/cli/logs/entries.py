"""Lines of infernet.log as what they say, in either of the formats of docs/operations.md."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct

LEVELS = ("debug", "info", "warning", "error", "critical")

_TEXT = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (?P<level>[A-Z]+) "
    r"(?P<part>[^\s\[]+)\[(?P<pid>\d+)\] (?P<message>.*)"
)
_CONCERNS = re.compile(r" (job|request|trace)=(\S+)")
_FIELDS = ("time", "level", "part", "pid", "message", "job", "request", "trace")


class Entry(Struct):
    """One entry. `lines` are what the log has of it: a traceback goes on below its first."""

    lines: list[str]
    time: str = ""
    level: str = ""
    part: str = ""
    fields: dict[str, Any] = {}

    def as_json(self) -> dict[str, Any]:
        """The fields that a log of JSON has, whatever it was written as."""
        return {name: self.fields.get(name) for name in _FIELDS} | ({"message": self.message})

    @property
    def message(self) -> str:
        return "\n".join([str(self.fields.get("message", self.lines[0])), *self.lines[1:]])


class Filter(Struct, frozen=True):
    """Which entries are wanted: those that are all of what is given. `since` is a time as the log writes it."""

    level: str = LEVELS[0]
    part: str | None = None
    job: str | None = None
    request: str | None = None
    since: str | None = None

    def wants(self, entry: Entry) -> bool:
        return (
            self._is_grave_enough(entry)
            and (self.part is None or self.part in (entry.part, entry.part.partition("/")[0]))
            and (self.since is None or entry.time >= self.since)
            and all(named is None or _names(entry, named) for named in (self.job, self.request))
        )

    def _is_grave_enough(self, entry: Entry) -> bool:
        # Of what is not known, more rather than less is shown.
        level = LEVELS.index(entry.level) if entry.level in LEVELS else len(LEVELS)
        return level >= LEVELS.index(self.level)


def entries(lines: Iterable[str]) -> Iterator[Entry]:
    """What the lines say, in their order. A line that begins no entry goes on with the one before."""
    open_entry: Entry | None = None
    for line in lines:
        begun = _read(line)
        if begun is None and open_entry is not None:
            open_entry.lines.append(line)
            continue
        if open_entry is not None:
            yield open_entry
        open_entry = begun or Entry([line])
    if open_entry is not None:
        yield open_entry


def _read(line: str) -> Entry | None:
    if line.startswith("{"):
        return _read_json(line)
    match = _TEXT.fullmatch(line)
    if match is None:
        return None
    fields: dict[str, Any] = {**match.groupdict(), "level": match["level"].lower(), "pid": int(match["pid"])}
    fields |= dict(_CONCERNS.findall(match["message"]))
    return Entry([line], match["time"], fields["level"], match["part"], fields)


def _read_json(line: str) -> Entry | None:
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    time, level, part = (str(fields.get(name) or "") for name in ("time", "level", "part"))
    return Entry([line], time, level, part, fields)


def _names(entry: Entry, named: str) -> bool:
    """Whether an entry concerns it, or says so in its message."""
    return any(re.search(rf"(?<!\w){re.escape(named)}", line) for line in entry.lines)
