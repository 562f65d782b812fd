"""Tables and the few statistics they need."""

import statistics
from collections.abc import Iterable, Sequence


def quantile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least this share of all does not exceed; 0 when there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def spread(values: Sequence[float], digits: int = 0) -> str:
    """The median, and the least and greatest value."""
    median, least, most = statistics.median(values), min(values), max(values)
    return f"{median:,.{digits}f} ({least:,.{digits}f}-{most:,.{digits}f})"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.1f}"


def table(head: Sequence[str], rows: Iterable[Sequence[object]], text: int = 1) -> str:
    """A Markdown table, its columns aligned: the first `text` of them to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = [_line(row, widths, text) for row in cells]
    rule = "|".join(
        ["-" * (width + 2) for width in widths[:text]] + ["-" * (width + 1) + ":" for width in widths[text:]]
    )
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])


def _line(row: Sequence[str], widths: Sequence[int], text: int) -> str:
    aligned = [cell.ljust(width) for cell, width in zip(row[:text], widths, strict=False)]
    aligned += [cell.rjust(width) for cell, width in zip(row[text:], widths[text:], strict=True)]
    return f"| {' | '.join(aligned)} |"
