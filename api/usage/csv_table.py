"""Usage as a table of comma-separated values, RFC 4180: sent as it is read, however many rows there are."""

import csv
import io
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from decimal import Decimal

from starlette.responses import StreamingResponse

from cluster.messages.money import UsageGrouping, UsageSum

MEDIA_TYPE = "text/csv"
_COUNTS = ("jobs", "prompt_tokens", "completion_tokens", "cost")
_MILLIONTHS = Decimal(1_000_000)


class CsvTable(StreamingResponse):
    """Rows under the names of their columns. `first` has been read already: what was refused was refused before."""

    media_type = MEDIA_TYPE

    def __init__(
        self,
        group_by: Sequence[UsageGrouping],
        first: Sequence[UsageSum],
        rest: AsyncGenerator[Sequence[UsageSum], None],
    ) -> None:
        headers = {"Content-Disposition": 'attachment; filename="usage.csv"', "Cache-Control": "no-store"}
        super().__init__(_parts(group_by, first, rest), headers=headers)


async def _parts(
    group_by: Sequence[UsageGrouping], first: Sequence[UsageSum], rest: AsyncGenerator[Sequence[UsageSum], None]
) -> AsyncGenerator[str, None]:
    try:
        yield _lines([(*group_by, *_COUNTS), *_rows(first)])
        async for part in rest:
            yield _lines(_rows(part))
    finally:
        await rest.aclose()


def _rows(sums: Sequence[UsageSum]) -> Iterator[tuple[object, ...]]:
    for each in sums:
        yield (*each.groups, each.jobs, each.prompt_tokens, each.completion_tokens, _money(each.cost))


def _money(millionths: int) -> str:
    return f"{millionths / _MILLIONTHS:.6f}"


def _lines(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()
