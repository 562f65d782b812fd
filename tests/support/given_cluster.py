"""A Ray head of a test's own, started as an administrator does."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from api.cli.run import runs
from api.cli.run.ports import free_port
from api.cli.run.ray_cluster import apart

BIN = Path(sys.executable).parent


class Cluster:
    """The cluster whose head this is. `variables` are set for all that runs there, and for its clients."""

    def __init__(self, temp: Path, variables: Mapping[str, str]) -> None:
        self.temp = temp
        self.port, self.dashboard_port = free_port(), free_port()
        # Ray makes a token for a new cluster by itself, but its clients look for one only when told to.
        self.environment = {**os.environ, **apart(temp), "RAY_AUTH_MODE": "token", **variables}
        head = [
            "--head",
            f"--port={self.port}",
            f"--dashboard-port={self.dashboard_port}",
            f"--temp-dir={temp / 'ray'}",
        ]
        self.call("ray", "start", *head, "--num-gpus=2", "--include-dashboard=true", "--disable-usage-stats")

    def join(self, *flags: str, **variables: str) -> None:
        """Have one more raylet here, which plays a machine of its own; `variables` are set for what runs there."""
        there = {**self.environment, **variables}
        self.call("ray", "start", f"--address={self.address}", *flags, "--disable-usage-stats", environment=there)

    def processes(self, name: str) -> list[psutil.Process]:
        """The processes of this cluster that have this name."""
        return [process for process in runs.processes(str(self.temp)) if _name(process) == name]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def placement_groups(self) -> list[dict[str, Any]]:
        listing = self.call("ray", "list", "placement-groups", "--format=json", "--address", self.dashboard)
        return [group for group in json.loads(listing) if group["state"] != "REMOVED"]

    def living_actors(self) -> list[dict[str, Any]]:
        listing = self.call("ray", "list", "actors", "--format=json", "--detail", "--address", self.dashboard)
        return [actor for actor in json.loads(listing) if actor["state"] != "DEAD"]

    def living(self, kind: str) -> list[dict[str, Any]]:
        """The actors of this class that live."""
        return [actor for actor in self.living_actors() if actor["class_name"] == kind]

    @property
    def dashboard(self) -> str:
        return f"http://127.0.0.1:{self.dashboard_port}"

    def call(self, *command: str, environment: Mapping[str, str] | None = None) -> str:
        done = subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            env=environment or self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@contextmanager
def given_cluster(**variables: str) -> Iterator[Cluster]:
    """A cluster that ends with this. `{temp}` in a variable stands for its folder."""
    # Short: HAProxy's sockets lie under it.
    temp = Path(tempfile.mkdtemp(prefix="inft-", dir="/tmp"))
    try:
        yield Cluster(temp, {name: value.format(temp=temp) for name, value in variables.items()})
    finally:
        runs.end(str(temp))
        shutil.rmtree(temp, ignore_errors=True)


def _name(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return process.name()
    return ""
