"""Where spans are sent."""

import re

from msgspec import Struct

from cluster.settings.checks import Value, number, section, word

_COLLECTOR = re.compile(r"https?://[^/@?#]+(?:/[^@?#]*)?")


class Traces(Struct, frozen=True):
    """Where spans are sent, by OTLP over HTTP; nowhere without an `endpoint`.

    Of requests that come without a decision, this `ratio` is traced.
    """

    endpoint: str = ""
    ratio: float = 1.0


def traces(value: Value) -> Traces:
    return Traces(**section(value, {"endpoint": _collector, "ratio": _ratio}))


def _collector(value: Value) -> str:
    """A URL that OTLP can be sent to, without what is secret; nothing for none."""
    if value.content == "":
        return ""
    endpoint = word(value)
    if "@" in endpoint:
        raise value.refused("must hold no credentials: OTEL_EXPORTER_OTLP_HEADERS in the environment may")
    if not _COLLECTOR.fullmatch(endpoint):
        raise value.is_not("a URL such as http://collector:4318")
    return endpoint.rstrip("/")


def _ratio(value: Value) -> float:
    ratio = number(value)
    if ratio > 1:
        raise value.is_not("a number from 0 to 1")
    return ratio
