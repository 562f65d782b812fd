"""A PostgreSQL of the tests' own, on a loopback port, with its data in a folder that goes with it.

`make postgres` runs this file: a server for trying things out, until Ctrl-C.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
import pytest

from api.cli.run.ports import free_port

USER = "infernet"
# However this process ends, the server ends with it.
_WITH_US = ("setpriv", "--pdeathsig", "QUIT") if shutil.which("setpriv") else ()
_ROOM_BYTES = 2 << 30
_START_S = 60.0
_STEP_S = 0.05
# A crash of the machine may lose what tests have written.
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")


def binaries() -> Path | None:
    """The folder of PostgreSQL's programs, the newest of those that are installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return None if initdb is None else Path(initdb).resolve().parent


class PostgresServer:
    """A running server. It refuses to run as root, so then it runs as Debian's user `postgres`, or else `nobody`."""

    def __init__(self, programs: Path, durable: bool = False) -> None:
        """A `durable` one is as slow as a real one: its data are on the disk, and safe from a loss of power."""
        self._programs = programs
        self._durable = durable
        self._who = _unprivileged()
        folder = None if durable else _fast_folder()
        self.folder = Path(tempfile.mkdtemp(prefix="infernet-postgres-", dir=folder))
        if self._who:
            shutil.chown(self.folder, self._who["user"], self._who["group"])
        self.port = free_port()
        try:
            how = ("--username", USER, "--auth", "trust", "--no-sync", "--no-locale", "--encoding", "UTF8")
            self._run("initdb", "--pgdata", self._data, *how)
            self._log = (self.folder / "log").open("w")
            self._start()
        except BaseException:
            self.stop()
            raise

    @classmethod
    def installed(cls) -> Self:
        """One of the programs that are installed here. Skips the test that wants it where there are none."""
        programs = binaries()
        if programs is None:
            pytest.skip("PostgreSQL's programs are not installed: see `make postgres`")
        return cls(programs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str = "postgres", port: int | None = None) -> str:
        return f"postgresql+psycopg://{USER}@127.0.0.1:{port or self.port}/{database}"

    def create(self, template: str | None = None) -> str:
        """The URL of a new database, which is like `template` or empty."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
        return self.url(name)

    def drop(self, url: str) -> None:
        """Removes a database, whoever still uses it: each is hundreds of files."""
        self.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        """Runs a statement of the server's own, outside any transaction."""
        with psycopg.connect(plain(self.url()), autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """While this lasts, no process of the server does anything. New connections are taken, by the kernel."""
        # The postmaster first: it would start processes in the place of others.
        pids = [self.process.pid]
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            for child in _children(self.process.pid):
                os.kill(child, signal.SIGSTOP)
                pids.append(child)
            yield
        finally:
            for pid in reversed(pids):
                os.kill(pid, signal.SIGCONT)

    @contextmanager
    def away(self) -> Iterator[None]:
        """While this lasts the server does not run: connections are broken, and refused."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(_START_S)
        try:
            yield
        finally:
            self._start()

    def stop(self) -> None:
        """End it, and remove its data."""
        process = getattr(self, "process", None)
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGQUIT)  # at once: nobody needs the data
            process.wait(_START_S)
        if hasattr(self, "_log"):
            self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self) -> None:
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories="]
        settings += () if self._durable else _FAST
        self.process = subprocess.Popen(
            [*_WITH_US, self._programs / "postgres", "-D", self._data, *(w for line in settings for w in ("-c", line))],
            stdout=self._log,
            stderr=self._log,
            cwd=self.folder,
            **self._who,
        )
        self._wait()

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            check=False,
            **self._who,
        )
        assert done.returncode == 0, done.stderr

    def _wait(self) -> None:
        """Until it takes connections."""
        give_up_s = time.monotonic() + _START_S
        while True:
            assert self.process.poll() is None, self._told()
            try:
                return psycopg.connect(plain(self.url()), connect_timeout=5).close()
            except psycopg.OperationalError:
                assert time.monotonic() < give_up_s, self._told()
                time.sleep(_STEP_S)

    def _told(self) -> str:
        return (self.folder / "log").read_text()


def plain(url: str) -> str:
    """The URL as libpq reads it."""
    return url.replace("postgresql+psycopg://", "postgresql://")


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    """What another process would read now."""
    with psycopg.connect(plain(url)) as connection:
        return connection.execute(query).fetchall()  # type: ignore[call-overload, no-any-return]


def dump(url: str) -> bytes:
    """All that the database holds, as SQL."""
    programs = binaries()
    assert programs is not None
    return subprocess.run([programs / "pg_dump", plain(url)], capture_output=True, check=True).stdout


def _fast_folder() -> str | None:
    """Where files are in memory, if there is room for hundreds of databases."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM_BYTES
    return str(memory) if roomy else None


def _unprivileged() -> dict[str, Any]:
    """How a process is to be started that refuses to be root's."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name for entry in pwd.getpwall()}
    user = next(name for name in ("postgres", "nobody") if name in known)
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def _children(pid: int) -> Sequence[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def main() -> None:
    """Run a server until Ctrl-C."""
    programs = binaries()
    if programs is None:
        raise SystemExit("PostgreSQL's programs are not installed: `apt-get install postgresql`, as root")
    with PostgresServer(programs) as server:
        print(
            f"In a file of settings:\n\n  database: {server.create()}\n\nCtrl-C ends it, and all its data.", flush=True
        )
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        signal.sigwait((signal.SIGINT, signal.SIGTERM))


if __name__ == "__main__":
    main()
