"""How values are spread, as far as some bounds tell it."""

from bisect import bisect_left
from collections.abc import Sequence

from msgspec import Struct, field


class Histogram(Struct, array_like=True):
    """Values, each counted under the lowest of some bounds that is not below it. `count` has those above all, too.

    Each count stands with its bound, so that sums from before a version with other bounds can still be read.
    """

    counts: dict[float, int] = field(default_factory=dict)
    count: int = 0
    sum: float = 0.0

    def add(self, value: float, bounds: Sequence[float]) -> None:
        """Count this value. `bounds` are in ascending order."""
        place = bisect_left(bounds, value)
        if place < len(bounds):
            bound = bounds[place]
            self.counts[bound] = self.counts.get(bound, 0) + 1
        self.count += 1
        self.sum += value

    def merge(self, other: "Histogram") -> None:
        """Add what the other one has counted."""
        for bound, count in other.counts.items():
            self.counts[bound] = self.counts.get(bound, 0) + count
        self.count += other.count
        self.sum += other.sum

    def cumulative(self, bounds: Sequence[float]) -> list[int]:
        """For each of these bounds, how many values were not above it. What has another bound is under the next one."""
        own = sorted(self.counts.items())
        totals, so_far, place = [], 0, 0
        for bound in bounds:
            while place < len(own) and own[place][0] <= bound:
                so_far += own[place][1]
                place += 1
            totals.append(so_far)
        return totals

    def quantile(self, share: float, bounds: Sequence[float]) -> float | None:
        """The value that this share of all is not above, as Prometheus estimates it; None of no values.

        Within a bucket it is interpolated, and what is above all bounds is taken for the last of them.
        https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
        """
        if not self.count:
            return None
        rank = share * self.count
        lower, below = 0.0, 0
        for bound, total in zip(bounds, self.cumulative(bounds), strict=True):
            if total >= rank and total > below:
                return min(bound, lower + (bound - lower) * (rank - below) / (total - below))
            lower, below = bound, total
        return bounds[-1]
