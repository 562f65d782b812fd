"""A glance as it is shown: what matters first, as much as fits."""

from collections import Counter
from collections.abc import Iterable

from msgspec import Struct
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from api.cli.render import age, cell
from api.cli.responses import Json
from api.cli.top.glance import Glance, running_of

# The names of columns, a line below them, and an empty one before the next table.
_HEADINGS = 3
_STATE_STYLES = {"ready": "green", "online": "green", "failed": "red", "offline": "red", "draining": "yellow"}


def drawn(glance: Glance, height: int | None = None, trouble: str | None = None) -> RenderableType:
    """The whole screen, in so many lines; or without a screen, all of it. `trouble` is why it is not of this moment."""
    models, nodes, jobs = _models(glance), _nodes(glance), _jobs(glance)
    if height is None:
        return Group(_summary(glance), *(each for rows in (models, nodes, jobs) for each in (Text(), rows.plain())))
    room = height - 2 - 3 * _HEADINGS - len(models.lines) - len(nodes.lines)
    told = (_summary(glance), Text(trouble or "", "red", no_wrap=True, overflow="ellipsis"))
    return Group(*told, models.drawn(), Text(), nodes.drawn(), Text(), jobs.drawn(max(room, 0)))


class Rows(Struct, frozen=True):
    """A table, for a screen or without one."""

    columns: tuple[str, ...]
    lines: list[tuple[object, ...]]

    def plain(self) -> Table:
        """As wide as what is in it."""
        table = Table(*self.columns, box=None, pad_edge=False)
        for line in self.lines:
            table.add_row(*map(cell, line))
        return table

    def drawn(self, most: int | None = None) -> Table:
        """As wide as the screen, with so many lines at most. What does not fit is cut in the last column first."""
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, expand=True)
        for column in self.columns:
            table.add_column(column, no_wrap=True, overflow="ellipsis", ratio=1 if column == self.columns[-1] else None)
        for line in self.lines[:most]:
            table.add_row(*(Text(text := cell(value), _STATE_STYLES.get(text, "")) for value in line))
        return table


def _summary(glance: Glance) -> Text:
    speed = glance.tokens_per_second
    parts = [
        f"{glance.running} running",
        f"{glance.queued} waiting",
        *([f"{speed:,.0f} tokens/s"] if speed is not None else []),
        *_last_minute(glance.minutes),
        f"{glance.now:%H:%M:%S} UTC",
    ]
    ready = ("is ready", "green") if glance.ready else ("is not ready", "red")
    summary = Text.assemble((glance.url, "bold"), " ", ready, "   ", "   ".join(parts))
    summary.no_wrap, summary.overflow = True, "ellipsis"
    return summary


def _last_minute(minutes: list[Json]) -> Iterable[str]:
    """Of the last one that is over."""
    if len(minutes) > 1:
        minute = minutes[-2]
        yield f"last minute: {minute['jobs_completed']} completed, {minute['jobs_failed']} failed"
        if "first_text_p95_s" in minute:
            yield f"first text p95 {minute['first_text_p95_s']:.2f} s"


def _models(glance: Glance) -> Rows:
    running = Counter[str]()
    for node in glance.nodes:
        running.update({str(each.get("model")): int(each.get("running", 0)) for each in node.get("engines", [])})
    return Rows(
        ("MODEL", "STATE", "REPLICAS", "WANTED", "RUNNING", "WAITING", "TOKENS/S OF A JOB", "WHY"),
        [
            (
                model.get("id"),
                model.get("state"),
                model.get("replicas"),
                model.get("wanted"),
                running[str(model.get("id"))],
                model.get("queued"),
                model.get("avg_tokens_per_second"),
                model.get("state_message") or model.get("starting") or model.get("scaling"),
            )
            for model in glance.models
        ],
    )


def _nodes(glance: Glance) -> Rows:
    return Rows(
        ("NODE", "HOST", "STATUS", "GPUS", "RUNNING", "ENGINES", "HEARTBEAT"),
        [
            (
                node.get("id"),
                node.get("hostname"),
                node.get("status"),
                node.get("gpus"),
                running_of(node),
                node.get("engines"),
                age(node.get("last_heartbeat"), glance.now),
            )
            for node in glance.nodes
        ],
    )


def _jobs(glance: Glance) -> Rows:
    return Rows(
        ("JOB", "MODEL", "NODE", "AGE", "ACCOUNT"),
        [
            (
                job.get("id"),
                job.get("model"),
                job.get("node_id"),
                age(job.get("created_at"), glance.now),
                job.get("account_id"),
            )
            for job in glance.jobs
        ],
    )
