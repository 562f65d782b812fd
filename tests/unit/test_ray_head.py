"""Finding the processes of a cluster's head, and starting one of them again: with programs that only have the names."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from api.cli.run.ports import free_port
from api.cli.run.ray_head import RayHead
from cluster.errors import StartError

WAIT_S = 10.0
PROGRAM = f"#!{sys.executable}\nimport time\ntime.sleep(600)\n"


class Played:
    """A head's two processes, of which only their names and arguments are as Ray's."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.port = free_port()
        self._folder = folder
        self._environment = {**os.environ, **environment}
        node = f"node{self.port}"
        where = (f"--gcs_server_port={self.port}", "--node-ip-address=10.1.2.3", f"--node-id={node}")
        self.gcs = self._start("gcs_server", *where)
        self.raylet = self._start("raylet", f"--node_id={node}")

    @property
    def address(self) -> str:
        return f"10.1.2.3:{self.port}"

    def started_again(self) -> list[psutil.Process]:
        """Its gcs_servers, but for the first."""
        mark = f"--gcs_server_port={self.port}"
        return [each for each in psutil.process_iter() if mark in arguments(each) and each.pid != self.gcs.pid]

    def end(self) -> None:
        for process in (self.gcs, self.raylet):
            process.kill()
            process.wait()
        for process in self.started_again():
            process.kill()

    def _start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        program = self._folder / name
        program.write_text(PROGRAM)
        program.chmod(0o755)
        process = subprocess.Popen([program, *arguments], env=self._environment, cwd=self._folder)
        wait_until(lambda: psutil.Process(process.pid).name() == name)
        return process


def arguments(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def wait_until(condition: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < give_up_s
        time.sleep(0.01)


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Callable[..., Played]]:
    played: list[Played] = []

    def play(name: str = "head", **environment: str) -> Played:
        folder = tmp_path / name
        folder.mkdir()
        played.append(Played(folder, **environment))
        return played[-1]

    yield play
    for each in played:
        each.end()


def test_a_head_is_found_by_its_address(play: Callable[..., Played]) -> None:
    one, _ = play("one"), play("another")
    head = RayHead(one.address)
    assert head.address == one.address
    assert head.raylet_runs()
    assert head.gcs_runs()


def test_auto_is_refused_where_several_clusters_have_their_heads(play: Callable[..., Played]) -> None:
    play("one"), play("another")
    with pytest.raises(StartError, match="several Ray clusters"):
        RayHead("auto")


def test_a_machine_that_is_no_head_is_told_so() -> None:
    with pytest.raises(StartError, match="no head of a Ray cluster"):
        RayHead(f"10.1.2.3:{free_port()}")


def test_a_head_without_its_raylet_is_none(play: Callable[..., Played]) -> None:
    played = play()
    played.raylet.kill()
    played.raylet.wait()
    with pytest.raises(StartError, match="raylet"):
        RayHead(played.address)


def test_what_ends_is_seen(play: Callable[..., Played]) -> None:
    played = play()
    head = RayHead(played.address)
    for process, runs in ((played.gcs, head.gcs_runs), (played.raylet, head.raylet_runs)):
        process.kill()  # and not waited for: what has ended is seen before its parent has heard of it
        wait_until(lambda runs=runs: not runs())  # type: ignore[misc]


@pytest.mark.parametrize(("storage", "durable"), [("rocksdb", True), ("memory", False), (None, False)])
def test_it_is_durable_where_gcs_server_writes_to_a_disk(
    play: Callable[..., Played], storage: str | None, durable: bool
) -> None:
    environment = {"RAY_gcs_storage": storage} if storage else {}
    assert RayHead(play(**environment).address).durable == durable


def test_gcs_server_is_started_as_it_was(play: Callable[..., Played]) -> None:
    played = play(RAY_gcs_storage="rocksdb")
    head = RayHead(played.address)
    command = psutil.Process(played.gcs.pid).cmdline()
    played.gcs.kill()
    played.gcs.wait()
    head.start_gcs()
    (again,) = played.started_again()
    wait_until(lambda: arguments(again) == command)
    assert again.environ()["RAY_gcs_storage"] == "rocksdb"
    assert again.cwd() == str(Path(command[1]).parent)
    assert head.gcs_runs()
    again.kill()
    wait_until(lambda: not head.gcs_runs())
