"""Who may read `/metrics`."""

from msgspec import Struct

from cluster.settings.checks import Value, section, text


class Metrics(Struct, frozen=True):
    """Who may read `/metrics`: everybody, or, where there is a `key`, who presents it or the key of an admin."""

    key: str = ""


def metrics(value: Value) -> Metrics:
    return Metrics(**section(value, {"key": text}))
