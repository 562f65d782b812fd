"""A metric with all its samples, as Prometheus' own client writes it."""

from collections.abc import Iterable, Sequence

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString

from cluster.measures.histogram import Histogram

Labels = Sequence[str]


def counter(name: str, about: str, labels: Labels, samples: Iterable[tuple[Labels, float]]) -> Metric:
    """What only ever grows. `name` is without `_total`."""
    family = CounterMetricFamily(name, about, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def gauge(name: str, about: str, labels: Labels, samples: Iterable[tuple[Labels, float]]) -> Metric:
    """What is so now."""
    family = GaugeMetricFamily(name, about, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def histogram(
    name: str, about: str, labels: Labels, samples: Iterable[tuple[Labels, Histogram]], bounds: Sequence[float]
) -> Metric:
    """How values are spread."""
    family = HistogramMetricFamily(name, about, labels=labels)
    written = [floatToGoString(bound) for bound in bounds]  # type: ignore[no-untyped-call]
    for values, told in samples:
        buckets = [*zip(written, told.cumulative(bounds), strict=True), ("+Inf", told.count)]
        family.add_metric(values, buckets, told.sum)
    return family
