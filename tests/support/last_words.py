"""Runs pytest so that its summary is the last thing said: `python -m tests.support.last_words tests/unit ...`.

Libraries may write to stderr while the interpreter ends: Triton's bindings report each object that is left, and bury
which test failed. If anything is written after pytest's summary, the failures and the counts are printed once more.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO

import pytest

SUMMARY_FILE = "INFERNET_TEST_SUMMARY"
FLUSHED_WITHIN_S = 1.0
"""How long is waited for what an ended process has written; others may hold its stderr open for longer."""


def pytest_unconfigure(config: pytest.Config) -> None:
    """Keep the failures and the counts for the process that runs this one."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    lines = [
        f"{outcome} {report.nodeid}"
        for outcome, kind in (("FAILED", "failed"), ("ERROR", "error"))
        for report in reporter.stats.get(kind, [])
    ]
    counts = ", ".join(text for text, _ in reporter.build_summary_stats_line()[0])
    Path(os.environ[SUMMARY_FILE]).write_text("\n".join([*lines, counts]))


def run(arguments: list[str]) -> int:
    """Run pytest in a process of its own and return its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        summary = Path(folder) / "summary"
        began_s = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-p", __spec__.name, *arguments],
            stderr=subprocess.PIPE,
            env={**os.environ, SUMMARY_FILE: str(summary)},
        )
        assert process.stderr is not None
        said_after = threading.Event()
        reader = threading.Thread(target=_pass_on, args=(process.stderr, summary, said_after), daemon=True)
        reader.start()
        code = process.wait()
        reader.join(FLUSHED_WITHIN_S)
        if said_after.is_set():
            sys.stdout.write(f"\n{summary.read_text()} in {time.monotonic() - began_s:.2f}s\n")
            sys.stdout.flush()
    return code if code >= 0 else 128 - code


def _pass_on(stderr: IO[bytes], summary: Path, said_after: threading.Event) -> None:
    while text := os.read(stderr.fileno(), 65_536):
        os.write(sys.stderr.fileno(), text)
        if summary.exists():
            said_after.set()


if __name__ == "__main__":
    try:
        sys.exit(run(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(int(pytest.ExitCode.INTERRUPTED))
