"""A server as a process of its own, from its start until nothing of it is left."""

import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import httpx
import psutil

from api.cli.run import runs
from api.cli.run.ports import free_port

START_S = 300.0
STOP_S = 60.0
_LOOK_S = 0.25
_LOG_LINES = 20


class System(Protocol):
    """A system that runs."""

    def processes(self) -> list[psutil.Process]:
        """All its processes that run now."""


class Server(ABC):
    """A server that runs while the context is open. It is in a session of its own: Ctrl-C does not reach it.

    Its files lie in `folder`, which is made. Entering raises ChildProcessError, with the end of its log, when it does
    not start.
    """

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

    def _mark(self) -> str | None:
        """The mark that its processes carry; None when there are none yet."""
        return str(self.folder)

    def processes(self) -> list[psutil.Process]:
        assert self._process is not None
        mark = self._mark()
        found = {process.pid: process for process in runs.processes(mark)} if mark else {}
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
        if left := runs.end(mark) if mark else 0:
            print(f"{type(self).__name__} left {left} processes behind; ended them", file=sys.stderr)


_OF_AN_ENGINE = ("VLLM_RPC_BASE_PATH", "VLLM_MEDIA_CONNECTOR")


def clean_environment() -> dict[str, str]:
    """Ours, without settings of somebody's own system, and without what an engine in this process told vLLM."""
    named = {name: value for name, value in os.environ.items() if not name.startswith("INFERNET_")}
    return {name: value for name, value in named.items() if name not in _OF_AN_ENGINE}


def marks(folder: Path) -> dict[str, str]:
    """What makes the processes of a server findable. Temporary files go to its folder."""
    # Process titles must not overwrite the mark.
    return {runs.MARK: str(folder), "SPT_NOENV": "1", "TMPDIR": str(folder)}
