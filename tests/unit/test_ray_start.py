"""That Ray waits longer for its raylet hangs on how Ray asks for it: by a function that raises until it is there."""

import inspect
import os
import subprocess
from pathlib import Path

import pytest
from ray._private import node, ray_constants, services

from api.cli.run import ray_start
from api.cli.run.ray_start import ON_THIS_MACHINE, on_this_machine_only, patience
from cluster.errors import StartError


def test_ray_asks_as_we_expect() -> None:
    assert "services.get_node(" in inspect.getsource(node.Node)
    assert list(inspect.signature(services.get_node).parameters) == ["gcs_address", "node_id"]


def test_a_raylet_that_takes_long_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([RuntimeError("no such node"), RuntimeError("no such node")])

    def get_node(gcs_address: str, node_id: str) -> str:
        for failure in answers:
            raise failure
        return f"{node_id} of {gcs_address}"

    monkeypatch.setattr(services, "get_node", get_node)
    monkeypatch.setattr(ray_start, "_raylet_lives", lambda: True)
    with patience(30.0):
        assert services.get_node("head", "this node") == "this node of head"
    assert services.get_node is get_node


def test_one_that_does_not_come_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    def get_node(gcs_address: str, node_id: str) -> str:
        raise RuntimeError("no such node")

    monkeypatch.setattr(services, "get_node", get_node)
    with patience(0.0), pytest.raises(RuntimeError, match="no such node"):
        services.get_node("head", "this node")


def test_a_raylet_that_has_ended_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def get_node(gcs_address: str, node_id: str) -> str:
        raise RuntimeError("no such node")

    monkeypatch.setattr(services, "get_node", get_node)
    # Not a RuntimeError: after such a one Ray itself asks again, for half a minute.
    with patience(30.0), pytest.raises(StartError, match="its raylet has ended"):
        services.get_node("head", "this node")


def test_a_raylet_is_known_by_its_name(tmp_path: Path) -> None:
    raylet = tmp_path / "raylet"
    raylet.symlink_to("/bin/sleep")
    process = subprocess.Popen([raylet, "60"])
    assert ray_start._raylet_lives()
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not ray_start._raylet_lives()
    process.wait()


@pytest.mark.parametrize(("said", "is_loopback"), [("0", True), ("1", False)])
def test_ray_starts_on_this_machine_alone_unless_the_environment_says_otherwise(
    said: str, is_loopback: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (variable,) = ON_THIS_MACHINE
    monkeypatch.setenv(variable, said)
    before = ray_constants.ENABLE_RAY_CLUSTER
    with on_this_machine_only():
        assert is_loopback != ray_constants.ENABLE_RAY_CLUSTER
        if is_loopback:
            assert services.get_node_ip_address() == "127.0.0.1"
    assert before == ray_constants.ENABLE_RAY_CLUSTER
