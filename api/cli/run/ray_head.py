"""The two processes of Ray by which a machine is a cluster's head, and how one of them is started again.

Ray itself starts neither again: without its gcs_server, all of a cluster ends after a minute. One that keeps what it
knows on disk (RAY_gcs_storage=rocksdb) can be started again in that time, and everything goes on.
"""

import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Self

import psutil
from msgspec import Struct

from cluster.errors import StartError

GCS, RAYLET = "gcs_server", "raylet"
AUTO = "auto"

_STORAGE_VARIABLE = "RAY_gcs_storage"
_IN_MEMORY = "memory"
_PORT, _HOST, _NODE, _REDIS = "--gcs_server_port=", "--node-ip-address=", "--node-id=", "--redis_address="
_RAYLET_NODE = "--node_id="


class Command(Struct, frozen=True):
    """How a process was started."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: str

    @classmethod
    def of(cls, process: psutil.Process) -> Self:
        return cls(process.cmdline(), process.environ(), process.cwd())

    def option(self, name: str) -> str | None:
        """What follows `name` in its arguments."""
        return next((text.removeprefix(name) for text in self.arguments if text.startswith(name)), None)


class RayHead:
    """The head of a running cluster, on this machine. Raises StartError where `address` is none here."""

    def __init__(self, address: str) -> None:
        self._gcs, self._command = _gcs_of(address)
        self._started: subprocess.Popen[bytes] | None = None
        self._raylet = _raylet_of(self._command.option(_NODE))
        self.address = f"{self._command.option(_HOST)}:{self._command.option(_PORT)}"

    @property
    def durable(self) -> bool:
        """Whether a gcs_server that is started again knows what the one before it did."""
        kept = self._command.environment.get(_STORAGE_VARIABLE, _IN_MEMORY) != _IN_MEMORY
        return kept or self._command.option(_REDIS) is not None

    def raylet_runs(self) -> bool:
        return _runs(self._raylet)

    def gcs_runs(self) -> bool:
        if self._started is not None:
            return self._started.poll() is None
        return _runs(self._gcs)

    def start_gcs(self) -> None:
        """Start the gcs_server again, as it was started before. It outlives this process."""
        self._started = subprocess.Popen(
            self._command.arguments,
            env=self._command.environment,
            cwd=self._command.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # it writes to the files that its arguments name
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def _gcs_of(address: str) -> tuple[psutil.Process, Command]:
    found = [(process, Command.of(process)) for process in _named(GCS)]
    if address != AUTO:
        port = address.rpartition(":")[2]
        found = [(process, command) for process, command in found if command.option(_PORT) == port]
    match found:
        case [one]:
            return one
        case []:
            raise StartError("no head of a Ray cluster runs on this machine: start one with `ray start --head`")
        case _:
            raise StartError("heads of several Ray clusters run on this machine: name one with --ray-address")


def _raylet_of(node: str | None) -> psutil.Process:
    for process in _named(RAYLET):
        if Command.of(process).option(_RAYLET_NODE) == node:
            return process
    raise StartError("the raylet of the Ray cluster's head does not run on this machine")


def _named(name: str) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _is(process, name)]


def _is(process: psutil.Process, name: str) -> bool:
    with suppress(psutil.Error):
        return process.name() == name and _runs(process)
    return False


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
