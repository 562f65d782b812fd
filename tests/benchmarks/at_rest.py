"""What the control plane holds when nothing happens: python -m tests.benchmarks.at_rest

`infernet up` with one ingress replica and one simulated model, read once it has been ready for a while: the actors and
the ingress, and apart from them what else runs. Engines are left out: what they hold is their models'.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.benchmarks import processes, report
from tests.benchmarks.processes import Memory
from tests.benchmarks.servers import Infernet, end_on_signals

_MODEL = {"id": "sim", "backend": "simulated"}
_MIB = 2**20
_ENGINE = "Engine"
_OURS = re.compile("Scheduler|Journal|Ledger|RateLimiter|Supervisor|NodeAgent|ServeReplica:infernet:ingress")


@dataclass(frozen=True)
class Options:
    settle_s: float
    json: Path | None


def main() -> None:
    options = _options()
    end_on_signals()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            held = measure(options, Path(folder))
    except ChildProcessError as error:
        sys.exit(f"at_rest: {error}")
    ours = [memory for memory in held if _OURS.fullmatch(memory.role)]
    theirs = [memory for memory in held if memory not in ours]
    print(f"The control plane, MiB\n\n{_table(ours)}\n\nWhat else runs\n\n{_table(theirs)}")
    if options.json:
        options.json.write_text(json.dumps([asdict(memory) for memory in held], indent=1) + "\n")


def measure(options: Options, folder: Path) -> list[Memory]:
    """All processes but engines, the greatest first."""
    with Infernet(folder / "infernet", [_MODEL], ingress_replicas=1) as infernet:
        time.sleep(options.settle_s)
        held = processes.memory(infernet.processes())
    return sorted((memory for memory in held if memory.role != _ENGINE), key=lambda memory: -memory.rss)


def _table(held: Sequence[Memory]) -> str:
    """USS is what ending a process would free. RSS counts what processes share in each of them."""
    rows = [
        [memory.role.rpartition(":")[2], f"{memory.rss / _MIB:,.0f}", f"{memory.uss / _MIB:,.0f}"] for memory in held
    ]
    rss, uss = (sum(getattr(memory, what) for memory in held) / _MIB for what in ("rss", "uss"))
    return report.table(["process", "RSS", "USS"], [*rows, ["all", f"{rss:,.0f}", f"{uss:,.0f}"]])


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.at_rest", description=__doc__.splitlines()[0])
    parser.add_argument("--settle-s", type=float, default=20.0, help="seconds to wait before memory is read (20)")
    parser.add_argument("--json", type=Path, help="write every process to this file")
    return Options(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
