"""What settings say that can hardly be meant, such as a time in another unit. Pure."""

from collections.abc import Iterator, Mapping

from cluster.catalogue import Model, Price
from cluster.settings.environment import misspelt
from cluster.settings.schema import Settings
from cluster.settings.sections.media import Media
from cluster.settings.units import duration, size

_COLLECTOR_OF_ALL = "OTEL_EXPORTER_OTLP_ENDPOINT"
_DAY_S = 86_400
_LONG_MS = 5_000
_LEAST_BYTES = 1 << 16
_LEAST_PRICE = 0.001
_MOST_PRICE = 1_000_000


def doubts(settings: Settings, env: Mapping[str, str]) -> Iterator[str]:
    """Each thing in a sentence, with the sum that shows it."""
    yield from _long_s("job_timeout_s", settings.job_timeout_s, _DAY_S)
    if settings.stream_interval_ms > _LONG_MS:
        waits = duration(settings.stream_interval_ms / 1000)
        yield f"stream_interval_ms: {settings.stream_interval_ms} ms have every piece of text wait for {waits}"
    yield from _of_media(settings.media)
    if env.get(_COLLECTOR_OF_ALL) and not settings.traces.endpoint:
        yield f"{_COLLECTOR_OF_ALL} alone turns no traces on: traces.endpoint does"
    for index, model in enumerate(settings.models):
        for doubt in _of_model(model):
            yield f"models[{index}].{doubt}"
    for variable, meant in misspelt(env):
        yield f"{variable} is no setting: is {meant} meant?"


def _of_media(media: Media) -> Iterator[str]:
    yield from _long_s("media.fetch_timeout_s", media.fetch_timeout_s, 3_600)
    if media.max_bytes < _LEAST_BYTES:
        few, mib = media.max_bytes, media.max_bytes << 20
        yield f"media.max_bytes: {size(few)} are less than a picture has; where {few} MiB are meant, write {mib}"


def _of_model(model: Model) -> Iterator[str]:
    yield from _long_s("load_timeout_s", model.load_timeout_s, _DAY_S)
    yield from _long_s("replicas.idle_s", model.replicas.idle_s, 30 * _DAY_S)
    yield from _long_s("replicas.drain_s", model.replicas.drain_s, _DAY_S)
    yield from _of_price("price", model.price)
    for index, adapter in enumerate(model.adapters):
        yield from _of_price(f"adapters[{index}].price", adapter.price or Price())


def _long_s(setting: str, seconds: int, most: int) -> Iterator[str]:
    if seconds > most:
        yield f"{setting}: {seconds} s are {duration(seconds)}; as milliseconds it would be {duration(seconds / 1000)}"


def _of_price(setting: str, price: Price) -> Iterator[str]:
    """Prices are for a million tokens. Of others a job's cost is nothing, or more than anybody has."""
    for part, amount in (("prompt", price.prompt), ("completion", price.completion)):
        if 0 < amount < _LEAST_PRICE:
            yield (
                f"{setting}.{part}: {amount:g} for a million tokens are {_plain(amount / 1000)} for a thousand; "
                f"where {amount:g} is for one token, write {_plain(amount * 1_000_000)}"
            )
        if amount > _MOST_PRICE:
            yield f"{setting}.{part}: {_plain(amount)} for a million tokens are {_plain(amount / 1000)} for a thousand"


def _plain(amount: float) -> str:
    return f"{amount:,.12f}".rstrip("0").rstrip(".")
