"""The table of docs/metrics.md: `python -m tests.support.metrics_page` writes it down, a test compares it."""

from pathlib import Path

from prometheus_client import Metric

from api.replica.health import State
from api.system.metrics.page import Page
from cluster.ids import EngineId, NodeId
from cluster.measures import tallies
from cluster.measures.engine_times import BOUNDS
from cluster.measures.measures import Counted, EndedJob, Measures, Totals
from cluster.measures.tallies import Tally
from cluster.messages.machines import EngineFigures, EngineReport, Gpu, GpuLoad, Hardware, ModelView, NodeView
from cluster.messages.money import Usage

FILE = Path(__file__).parents[2] / "docs/metrics.md"
_BEGIN, _END = "<!-- table -->\n", "<!-- end of table -->\n"

_SUFFIX = {"counter": "_total"}


def full_state() -> State:
    """A system that has something to tell of everything."""
    measures = Measures()
    measures.add(EndedJob(Usage(1, 2, 1, 1), 1, 0, 1000, "", 1, 2, (3,), ("new job",)))
    counted = [Counted("m", "chat", measures)]
    labels = {tallies.REQUESTS: ("/", "GET", "200"), tallies.DECISIONS: ("reads", "allowed"), tallies.STREAMS: ("new",)}
    labels |= {tallies.CACHE_TOKENS: ("m", "prompt"), tallies.SETTLED: ("tokens",), tallies.WEBHOOKS: ("delivered",)}
    names = (*labels, tallies.COMMITS, tallies.WRITES, tallies.COMMIT_SECONDS)
    told = [Tally(name, labels.get(name, ()), 1.0) for name in names]
    told += [Tally(tallies.ENGINE_TIMES, ("m", name, "count"), 1.0) for name in BOUNDS]
    engine = EngineReport(
        EngineId("m/1"), "m", NodeId("node_1"), "ready", figures=EngineFigures(request_success={"stop": 1})
    )
    hardware = Hardware("host", 8.0, 1 << 36, 1, (Gpu("H200", 1 << 37),))
    node = NodeView(NodeId("node_1"), "online", 1, hardware, (engine,), (), (GpuLoad(1, 0.5),))
    model = ModelView("m", "ready", True, "", 1, 1, 0, 10, 1, "")
    totals = Totals(counted, told, {"tokens": 1})
    return State([model], [node], totals, {}, {"m": 1}, True, True, True, {"ledger": 0})


def table() -> str:
    """A row for each metric: its name, its type, its labels and what it tells, as the page itself does."""
    rows = [_row(family) for family in Page(full_state()).collect()]
    return "\n".join(["| metric | type | labels | |", "|---|---|---|---|", *rows, ""])


def written() -> str:
    """The table as it is written down."""
    return FILE.read_text().partition(_BEGIN)[2].partition(_END)[0]


def _row(family: Metric) -> str:
    labels = dict.fromkeys(name for sample in family.samples for name in sample.labels if name != "le")
    shown = ", ".join(f"`{label}`" for label in labels)
    name = family.name + _SUFFIX.get(family.type, "")
    return f"| `{name}` | {family.type} | {shown} | {family.documentation} |"


if __name__ == "__main__":
    before, _, rest = FILE.read_text().partition(_BEGIN)
    FILE.write_text(f"{before}{_BEGIN}{table()}{_END}{rest.partition(_END)[2]}")
