"""`make simulate`: a day at 8,000 GPUs under the rules, an oracle and fixed replicas; numbers and plots."""

import argparse
import os
import time
from pathlib import Path

import msgspec

from tests.benchmarks.scale import plots
from tests.benchmarks.scale.runs import Run, all_runs
from tests.benchmarks.scale.scenario import JOBS, scenario
from tests.benchmarks.scale.step import step


def main() -> None:
    args = _arguments()
    began_s = time.monotonic()
    drawn = scenario(args.seed, args.jobs)
    print(f"{len(drawn.traffic):,} jobs for {len(drawn.subjects)} models, drawn in {_since(began_s)}", flush=True)
    runs = all_runs(drawn, args.processes, lambda run: print(f"[{_since(began_s)}] {_line(run)}", flush=True))
    args.write.mkdir(parents=True, exist_ok=True)
    file = args.write / "scale.json"
    file.write_bytes(msgspec.json.encode({"seed": args.seed, "jobs": len(drawn.traffic), "runs": runs}) + b"\n")
    print(f"Written: {', '.join(map(str, [file, *plots.draw(runs, *step(args.seed), args.write)]))}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=JOBS, help="in the day, about")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--write", type=Path, default=Path("docs/benchmarks"), help="the folder for numbers and plots")
    return parser.parse_args()


def _line(run: Run) -> str:
    waits = ", ".join(f"p{100 * at:g} {wait:.1f} s" for at, wait in zip(run.wait_at, run.waits_s, strict=True))
    return (
        f"{run.name}: {run.gpu_hours:,.0f} GPU hours ({run.machine_gpu_hours:,.0f} of machines, "
        f"{run.machines_most} at most), waits {waits}; refused {run.refused or 'none'}, {run.late} late, "
        f"{run.starts:,} starts, {run.moved:,} moved; Jain "
        + (f"{run.jain:.3f} of {run.contended} windows" if run.jain is not None else "-")
    )


def _since(began_s: float) -> str:
    return f"{time.monotonic() - began_s:.0f} s"


if __name__ == "__main__":
    main()
