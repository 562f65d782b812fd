"""A system on fake machines that come and go, watched from outside."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from api.cli.client import Client
from api.cli.connection import Connection
from api.cli.responses import RemoteError
from api.cli.run.ports import free_port
from api.cli.run.ray_cluster import apart

START_S = 240.0
LOOK_S = 0.5
# Each has its process table: what runs in it ends with its first process.
_APART = ("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")


class FakeCluster:
    """`timeline` is what was seen of its machines and models, each change with its time."""

    def __init__(self, folder: Path, process: "subprocess.Popen[bytes]", ray_port: int) -> None:
        self.folder = folder
        self.process = process
        self.timeline: list[str] = []
        self._ray_port = ray_port
        self._began_s = time.monotonic()
        self._seen = ""

    @property
    def connection(self) -> Connection:
        return Connection(**json.loads((self.folder / "state" / "connection.json").read_text()))

    def client(self) -> Client:
        return Client(self.connection)

    def until(
        self, condition: Callable[[list[dict[str, Any]], dict[str, dict[str, Any]]], bool], limit_s: float
    ) -> None:
        """Watch until this is so of the machines and of the models."""
        give_up_s = time.monotonic() + limit_s
        with self.client() as client:
            while True:
                nodes = client.nodes()["nodes"]
                models = {model["id"]: model for model in client.models(all=True)["models"]}
                self._note(nodes, models)
                if condition(nodes, models):
                    return
                assert time.monotonic() < give_up_s, "\n".join(self.timeline)
                time.sleep(LOOK_S)

    def note(self, what: str) -> None:
        self.timeline.append(f"{time.monotonic() - self._began_s:6.1f} s  {what}")

    def _note(self, nodes: list[dict[str, Any]], models: Mapping[str, dict[str, Any]]) -> None:
        machines = ", ".join(
            f"{node['status']} {len(node['engines'])}" for node in nodes if node["status"] != "offline"
        )
        served = ", ".join(
            f"{name} {model['state']} {model['replicas']}/{model['wanted']}" for name, model in models.items()
        )
        seen = f"machines: {machines}; {served}"
        if seen != self._seen:
            self._seen = seen
            self.note(seen)

    def take_away(self, node_id: str, in_s: float) -> None:
        """What a cloud does with a spot machine: it tells Ray when the machine will be gone."""
        address = f"127.0.0.1:{self._ray_port}"
        command = [sys.executable, "-m", "tests.elastic.spot_notice", address, node_id, str(in_s)]
        subprocess.run(command, env=ray_environment(self.folder), check=True)

    def log(self) -> str:
        return (self.folder / "out.log").read_text()


def ray_environment(folder: Path) -> dict[str, str]:
    """With a token of the cluster's own, which all that joins it must have."""
    token = folder / "token"
    if not token.exists():
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
    return {**os.environ, **apart(folder), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}


@contextmanager
def fake_cluster(settings: Mapping[str, Any], version: int) -> Iterator[FakeCluster]:
    """A system with these settings, under this version of Ray's autoscaler. It is ready when this returns."""
    folder = Path(tempfile.mkdtemp(prefix="inft-", dir="/tmp"))  # short: sockets lie under it
    ray_port, port = free_port(), free_port()
    server = {**settings.get("server", {}), "port": port}
    (folder / "infernet.yaml").write_text(yaml.safe_dump({**settings, "server": server}))
    inside = [sys.executable, "-m", "tests.elastic.inside", str(folder), str(ray_port), str(version)]
    with (folder / "out.log").open("wb") as log:
        process = subprocess.Popen(
            [*_APART, *inside], stdout=log, stderr=subprocess.STDOUT, env=ray_environment(folder), process_group=0
        )
    cluster = FakeCluster(folder, process, ray_port)
    try:
        _wait_until_ready(cluster)
        yield cluster
    finally:
        process.kill()  # and with it, all that is inside
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_ready(cluster: FakeCluster) -> None:
    give_up_s = time.monotonic() + START_S
    while time.monotonic() < give_up_s and cluster.process.poll() is None:
        try:
            with cluster.client() as client:
                client.nodes()
                return
        except (OSError, httpx.HTTPError, RemoteError):
            time.sleep(LOOK_S)
    pytest.fail(f"the system did not start:\n{cluster.log()[-3000:]}")


def why_not_here() -> str | None:
    """Why such a cluster cannot be had on this machine."""
    if os.geteuid() != 0:
        return "machines of their own want root: mount namespaces"
    return None if shutil.which("unshare") else "there is no unshare"
