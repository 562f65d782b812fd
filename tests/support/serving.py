"""`infernet up` as a user runs it: a process of its own, talked to over HTTP, stopped by a signal."""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from api.cli.client import Client
from api.cli.connection import Connection
from api.cli.run import runs
from api.cli.run.ports import free_port

INFERNET = str(Path(sys.executable).with_name("infernet"))
START_S = 150.0
STOP_S = 60.0


class Serving:
    """A running `infernet up`. Its lines are kept; `stop` checks that it leaves nothing behind."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        *flags: str,
        port: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self._settings = settings
        self.port = port or free_port()
        config = folder / "infernet.yaml"
        folder.mkdir(exist_ok=True)
        server = {"replicas": 2, **settings.get("server", {}), "port": self.port}
        config.write_text(yaml.safe_dump({**settings, "server": server}))
        self.lines: list[str] = []
        self._news: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.process = subprocess.Popen(
            [INFERNET, "up", "--config", str(config), "--state", str(self.state), *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**(env or os.environ), "COLUMNS": "200"},
            process_group=0,
        )
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def connection(self) -> Connection:
        return Connection(**json.loads((self.state / "connection.json").read_text()))

    def client(self) -> Client:
        return Client(self.connection)

    def http(self) -> httpx.Client:
        """A plain HTTP client with the admin's key."""
        headers = {"Authorization": f"Bearer {self.connection.key}"}
        return httpx.Client(base_url=self.connection.url, headers=headers, timeout=60)

    def wait_for(self, text: str, within_s: float = START_S) -> str:
        """The next line that has `text` in it. Fails when the process ends first."""
        while True:
            line = self._news.get(timeout=within_s)
            assert line is not None, f"ended before {text!r}:\n{''.join(self.lines)}"
            if text in line:
                return line

    def wait_until_ready(self, *models: str) -> "Serving":
        for model in models:
            if not any(f"Model {model}: ready" in line for line in self.lines):
                self.wait_for(f"Model {model}: ready")
        return self

    def database(self) -> bytes:
        """All that its database holds: the files' bytes, or what a dump of a server's database tells."""
        if url := self._settings.get("database"):
            from tests.support import postgres

            return postgres.dump(url)
        return b"".join(path.read_bytes() for path in sorted(self.state.glob("infernet.db*")))

    def actors(self, kind: str) -> list[psutil.Process]:
        """The processes of this run that host such an actor, by their titles."""
        return [process for process in runs.processes(self.run) if _title(process).startswith(f"ray::{kind}")]

    def engine(self, model: str) -> psutil.Process:
        """The process of the engine of this model that was the last one to be ready: its log line tells it."""
        log = "".join(path.read_text() for path in self.state.rglob("infernet.log"))
        return psutil.Process(int(re.findall(rf"engine/{re.escape(model)}/\d+\[(\d+)] .* is ready after", log)[-1]))

    def processes(self) -> list[psutil.Process]:
        """All of them: the user's, the system's own, and those of its run."""
        user = psutil.Process(self.process.pid)
        return [user, *user.children(), *(each for each in runs.processes(self.run) if each.ppid() != user.pid)]

    @property
    def run(self) -> str:
        """The mark of this run's processes."""
        return str(json.loads((self.state / "run.json").read_text())["temp"])

    def stop(self, number: int = signal.SIGINT) -> int:
        """Stop as a user does. Returns the exit code once everything is gone."""
        run = self.run
        code = self.interrupt(number)
        assert runs.processes(run) == []
        assert not Path(run).exists()
        return code

    def interrupt(self, number: int = signal.SIGINT) -> int:
        """The exit code after this signal."""
        self.process.send_signal(number)
        return self.process.wait(STOP_S)

    def end(self) -> None:
        """Whatever happened: leave nothing behind."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if (self.state / "run.json").exists():
            runs.end(self.run)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as printed:
            for line in printed:
                self.lines.append(line)
                self._news.put(line)
        self._news.put(None)


def in_parallel(calls: list[Callable[[], Any]]) -> list[Any]:
    """Make all calls at once, each in a thread; their results in order. The first error is raised."""
    results: list[Any] = [None] * len(calls)
    errors: list[BaseException] = []

    def run(index: int) -> None:
        try:
            results[index] = calls[index]()
        except BaseException as error:  # noqa: BLE001 - raised below, in the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
