"""The requests that are known to be answered otherwise, and why. docs/openai.md has the reasons for users.

A request that stands here and is answered alike after all fails its test, so that this stays true.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase

from tests.differential.case import Case, Mode

_STOPS = "vLLM 0.29 takes four stop strings at most; this system as many as one likes."
_SHAPE = "What vLLM's web framework refuses by itself has that framework's shape; here every error has OpenAI's."
_VERSION = "vLLM tells its own version there; this system is not vLLM."
_LOOK_UP = "vLLM's server has no `GET /v1/models/ID`, which OpenAI's API has, and this system."

DIFFERENCES: Mapping[str, str] = {
    "stopping/stop strings, more than four": _STOPS,
    "stopping/stop strings, many": _STOPS,
    "models/one that is not there": _LOOK_UP,
    "models/version": _VERSION,
    "models/a path that is not there": _SHAPE,
    "models/a method that is not there": _SHAPE,
    "invalid/body: not UTF-8": _SHAPE,
}
"""The reason for each request, by `topic/name`, or with `:plain` or `:stream` after it where only that differs."""

NOT_YET: tuple[str, ...] = (
    "completions/*",
    "content/*",
    "fields/*",
    "invalid/*",
    "logprobs/*",
    "models/*",
    "n/*",
    "reasoning/*",
    "sampling/*",
    "stopping/*",
    "streaming/*",
    "structured/*",
    "templates/*",
    "tokens/*",
    "tools/*",
)
"""Topics that this system is still learning: what differs there is told and fails no test."""


def reason(case: Case, mode: Mode) -> str | None:
    """Why this request is known to be answered otherwise; None where it should be answered alike."""
    return DIFFERENCES.get(f"{case.id}:{mode}") or DIFFERENCES.get(case.id)


def is_not_yet(case: Case) -> bool:
    return any(fnmatchcase(case.id, pattern) for pattern in NOT_YET)
