"""Outages of a running system, played one after the other, and what clients, probes, metrics and logs say meanwhile.

`make rehearsal` runs it, and prints docs/operations.md's table. The tests of this folder assert of the same probes.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Self

import httpx
import psycopg

from actors.backends.simulated import simulated_text
from cluster.messages.work import ChatMessage
from tests.support import postgres
from tests.support.database_outages import away, full, locked_sqlite
from tests.support.postgres import PostgresServer
from tests.support.serving import Serving

MODEL = "sim:slow"
TOKENS = 400
TOKEN_S = 0.05
SETTINGS = {
    "limits": {"submissions_per_minute": 100_000, "submissions_per_hour": 1_000_000, "reads_per_minute": 100_000},
    "models": [
        {
            "id": MODEL,
            "backend": "simulated",
            "engine": {"first_token_s": 0.02, "token_s": TOKEN_S, "output_tokens": TOKENS, "batch_slots": 64},
        }
    ],
}
SHORT = {"model": MODEL, "messages": [{"role": "user", "content": "Briefly"}], "max_tokens": 2}
_ROOM_MB = 24


class Said(NamedTuple):
    """An answer: when it was asked for and how long it took, in seconds; status 0 stands for none at all."""

    asked_s: float
    took_s: float
    status: int
    text: str
    retry_after: str | None


class Probe:
    """Asks for the same, again and again, in a thread of its own."""

    def __init__(
        self, serving: Serving, name: str, method: str, path: str, pause_s: float, body: object = None
    ) -> None:
        self.name = name
        self.said: list[Said] = []
        self._ask = (method, path)
        self._body = body
        self._pause_s = pause_s
        self._http = serving.http()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self._http.close()

    def between(self, begin_s: float, end_s: float) -> list[Said]:
        """What was asked for in this time."""
        return [said for said in self.said if begin_s <= said.asked_s < end_s]

    def first(self, status: int, from_s: float) -> float | None:
        """How long after this moment the first such answer was there."""
        return next(
            (
                said.asked_s + said.took_s - from_s
                for said in self.said
                if said.status == status and said.asked_s >= from_s
            ),
            None,
        )

    def wait_for(self, status: int, from_s: float, within_s: float = 60) -> float:
        """The same, waited for."""
        while (after_s := self.first(status, from_s)) is None:
            assert time.monotonic() - from_s < within_s, f"{self.name} never said {status}: {self.said[-1:]}"
            time.sleep(0.02)
        return after_s

    def _run(self) -> None:
        while not self._ending.wait(self._pause_s):
            asked_s = time.monotonic()
            try:
                answer = self._http.request(*self._ask, json=self._body)
                status, text, retry_after = answer.status_code, answer.text, answer.headers.get("Retry-After")
            except httpx.HTTPError as error:
                status, text, retry_after = 0, type(error).__name__, None
            self.said.append(Said(asked_s, time.monotonic() - asked_s, status, text, retry_after))


class Reader:
    """A job's stream, read by a thread of its own."""

    def __init__(self, serving: Serving) -> None:
        self.text = ""
        self.longest_pause_s = 0.0
        self._question = f"Go on from {time.monotonic()}"
        self._serving = serving
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._begun.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(TOKENS * TOKEN_S + 60)

    def is_exact(self) -> bool:
        return self.text == simulated_text((ChatMessage("user", self._question),), None, TOKENS)

    def _read(self) -> None:
        body = {"model": MODEL, "messages": [{"role": "user", "content": self._question}], "max_tokens": TOKENS}
        heard_s = time.monotonic()
        with self._serving.client() as client:
            for piece in client.stream(body):
                if self._begun.is_set():
                    self.longest_pause_s = max(self.longest_pause_s, time.monotonic() - heard_s)
                heard_s = time.monotonic()
                self.text += piece
                self._begun.set()


class Course(NamedTuple):
    """How an outage went. Times are seconds from its begin, or of `ready_again_s` from its end."""

    name: str
    unready_s: float | None
    ready_again_s: float
    said: dict[str, list[Said]]
    longest_pause_s: float
    exact: bool
    lines: list[str]

    def row(self) -> str:
        cells = [self.name, _shown_s(self.unready_s), _shown_s(self.ready_again_s)]
        for name in ("submissions", "metrics", "models", "jobs", "job"):
            said = self.said[name]
            count = Counter(str(one.status) for one in said)
            slowest_s = max((one.took_s for one in said), default=0.0)
            cells.append(f"{', '.join(f'{n} x {status}' for status, n in sorted(count.items()))}; {slowest_s:.1f} s")
        cells += [f"{'exact' if self.exact else 'WRONG'}, {self.longest_pause_s:.1f} s", str(len(self.lines))]
        return f"| {' | '.join(cells)} |"


HEAD = """| outage | `/readyz` 503 after | 200 again after | submissions | `/metrics` | `GET /models` | `GET /jobs` \
| `GET /jobs/{id}` | open stream, longest pause | log lines |
|---|---|---|---|---|---|---|---|---|---|"""


def _shown_s(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"


def rehearse(serving: Serving, name: str, outage: Callable[[], AbstractContextManager[None]], for_s: float) -> Course:
    """Have this happen for so long to a system that is well."""
    with serving.http() as http:
        job = http.post("/api/v1/jobs", json=SHORT).json()["id"]
        assert http.get(f"/api/v1/jobs/{job}?wait=30").json()["status"] == "completed"
    with ExitStack() as stack:
        reader = stack.enter_context(Reader(serving))
        ready = Probe(serving, "readyz", "GET", "/readyz", 0.05)
        probes = [
            Probe(serving, "submissions", "POST", "/api/v1/jobs", 0.3, SHORT),
            Probe(serving, "metrics", "GET", "/metrics", 0.3),
            Probe(serving, "models", "GET", "/api/v1/models", 0.3),
            Probe(serving, "jobs", "GET", "/api/v1/jobs?limit=5", 0.3),
            Probe(serving, "job", "GET", f"/api/v1/jobs/{job}", 0.3),
        ]
        for probe in (ready, *probes):
            stack.enter_context(probe)
        ready.wait_for(200, time.monotonic())
        before = lines(serving)
        began_s = time.monotonic()
        with outage():
            time.sleep(for_s)
            ended_s = time.monotonic()
        again_s = ready.wait_for(200, ended_s)
        unready_s = ready.first(503, began_s)
        logged = lines(serving)[len(before) :]
    said = {probe.name: probe.between(began_s, ended_s) for probe in probes}
    return Course(name, unready_s, again_s, said, reader.longest_pause_s, reader.is_exact(), logged)


def lines(serving: Serving) -> list[str]:
    """All that the system's processes have logged."""
    return [line for log in sorted(serving.state.glob("logs/*/infernet.log")) for line in log.read_text().splitlines()]


@contextmanager
def locked_postgres(url: str) -> Iterator[None]:
    """As a migration by hand does, or a vacuum in full."""
    with psycopg.connect(postgres.plain(url)) as connection:
        connection.execute("LOCK TABLE jobs, owner IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


@contextmanager
def read_only(server: PostgresServer) -> Iterator[None]:
    """As a server is that has been another's copy until now, or whose disk is nearly full."""
    server.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    server.execute("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        server.execute("ALTER SYSTEM RESET default_transaction_read_only")
        server.execute("SELECT pg_reload_conf()")


@contextmanager
def stopped(serving: Serving, kind: str, again: bool = False) -> Iterator[None]:
    """A process of this kind hangs; with `again`, every one that is started in its place does, too."""
    ending = threading.Event()

    def stop() -> None:
        while not ending.is_set():
            for process in serving.actors(kind):
                with suppress(Exception):
                    process.send_signal(signal.SIGSTOP)
            if not again:
                return
            ending.wait(0.1)

    thread = threading.Thread(target=stop)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
        for process in serving.actors(kind):
            with suppress(Exception):
                process.send_signal(signal.SIGCONT)


@contextmanager
def small_disk() -> Iterator[Path]:
    """A folder on a disk of its own. Only root can make one."""
    folder = Path(tempfile.mkdtemp(prefix="infernet-disk-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_ROOM_MB}m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


def on_sqlite(for_s: float, wanted: Sequence[str]) -> Iterator[Course]:
    with small_disk() as disk, tempfile.TemporaryDirectory() as temp:
        file = disk / "infernet.db"
        serving = Serving(Path(temp), {**SETTINGS, "database": f"sqlite:///{file}"})
        try:
            serving.wait_until_ready(MODEL)
            outages: dict[str, Callable[[], AbstractContextManager[None]]] = {
                "SQLite is locked by another process": lambda: locked_sqlite(file),
                "its disk is full": lambda: full(disk),
                "its file is gone": lambda: away(file),
                "the Ledger hangs": lambda: stopped(serving, "Ledger"),
                "the Ledger hangs, again and again": lambda: stopped(serving, "Ledger", again=True),
                "the Scheduler hangs, again and again": lambda: stopped(serving, "Scheduler", again=True),
                "the RateLimiter hangs, again and again": lambda: stopped(serving, "RateLimiter", again=True),
                "the Journal hangs, again and again": lambda: stopped(serving, "Journal", again=True),
            }
            for name, outage in outages.items():
                if all(word in name for word in wanted):
                    yield rehearse(serving, name, outage, for_s)
            assert serving.stop() == 0
        finally:
            serving.end()


def on_postgres(for_s: float, wanted: Sequence[str]) -> Iterator[Course]:
    with PostgresServer.installed() as server, tempfile.TemporaryDirectory() as temp:
        url = server.create()
        serving = Serving(Path(temp), {**SETTINGS, "database": url})
        try:
            serving.wait_until_ready(MODEL)
            outages: dict[str, Callable[[], AbstractContextManager[None]]] = {
                "PostgreSQL is away": server.away,
                "PostgreSQL is silent": server.frozen,
                "PostgreSQL's tables are locked": lambda: locked_postgres(url),
                "PostgreSQL takes no writes": lambda: read_only(server),
            }
            for name, outage in outages.items():
                if all(word in name for word in wanted):
                    yield rehearse(serving, name, outage, for_s)
            assert serving.stop() == 0
        finally:
            serving.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--for", dest="for_s", type=float, default=12.0, help="how long each outage lasts")
    parser.add_argument("--lines", action="store_true", help="what was logged, too")
    parser.add_argument("wanted", nargs="*", help="only outages with these words in their names")
    given = parser.parse_args()
    print(HEAD)
    for plays in (on_sqlite, on_postgres):
        for course in plays(given.for_s, given.wanted):
            print(course.row(), flush=True)
            if given.lines:
                print(*course.lines, sep="\n", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
