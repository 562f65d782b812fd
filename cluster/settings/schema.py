"""What can be set, and what each setting must be. Each is checked as a `Value` (`cluster/settings/checks.py`).

What has settings of its own has a file in `sections/`.
"""

from functools import partial
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from cluster.catalogue import CAPITALS, Model
from cluster.messages.people import KeyLimits
from cluster.settings.checks import Check, Value, integer, one_of, or_none, section
from cluster.settings.judging import NO_JUDGE, Judge
from cluster.settings.sections.database import database
from cluster.settings.sections.logs import Logs, logs
from cluster.settings.sections.media import Media, media
from cluster.settings.sections.metrics import Metrics, metrics
from cluster.settings.sections.models import models
from cluster.settings.sections.server import Server, server
from cluster.settings.sections.traces import Traces, traces
from cluster.settings.sections.webhooks import Webhooks, webhooks

_NOTE = "x-"

_MOST_DAYS = 36_500
"""A hundred years."""

SpotNoticesOf = Literal["none", "aws", "gcp"]


class Settings(Struct, frozen=True):
    """Everything that can be set. An empty `database` means the default one, in the user's home.

    Jobs that ended more than `retention_days` ago are removed; None keeps them for ever.

    `spot_notices` is the cloud whose machines ask for the notice that they will be taken away.
    """

    server: Server = Server()
    database: str = ""
    limits: KeyLimits = KeyLimits()
    job_timeout_s: int = 300
    retention_days: int | None = None
    stream_interval_ms: int = 20
    spot_notices: SpotNoticesOf = "none"
    media: Media = Media()
    webhooks: Webhooks = Webhooks()
    logs: Logs = Logs()
    traces: Traces = Traces()
    metrics: Metrics = Metrics()
    models: tuple[Model, ...] = (CAPITALS,)


def settings(value: Value, judge: Judge = NO_JUDGE) -> Settings:
    """The settings that `value` spells; what it does not mention keeps its default.

    Raises ConfigError with a line for each thing that cannot be used, which names the place and the reason.
    """
    return Settings(
        **section(
            _without_notes(value),
            {
                "server": server,
                "database": database,
                "limits": _limits,
                "job_timeout_s": integer(1, unit="s"),
                "retention_days": or_none(integer(1, _MOST_DAYS)),
                "stream_interval_ms": integer(0, unit="ms"),
                "spot_notices": one_of("none", "aws", "gcp"),
                "media": media,
                "webhooks": webhooks,
                "logs": logs,
                "traces": traces,
                "metrics": metrics,
                "models": partial(models, judge),
            },
        )
    )


def _without_notes(value: Value) -> Value:
    """Without the keys that begin with `x-`: they hold what other places refer to."""
    match value.content:
        case dict() as mapping:
            return replace(value, content={key: each for key, each in mapping.items() if not key.startswith(_NOTE)})
        case _:
            return value


def _limits(value: Value) -> KeyLimits:
    checks: dict[str, Check] = dict.fromkeys(KeyLimits.__struct_fields__, integer(1))
    return KeyLimits(**section(value, checks | {"tokens_per_minute": or_none(integer(1))}))
