"""A service manager hears how it is, as systemd's protocol has it, and nobody else is told where to tell it."""

import os
import socket
from pathlib import Path

import pytest

from api.cli.run.service import READY, STOPPING, Service
from tests.support.plain_system import PATIENCE_S


@pytest.mark.parametrize("kind", ["file", "name"])
def test_it_is_told(kind: str, tmp_path: Path) -> None:
    name = f"infernet-test-{os.getpid()}"
    given, bound = (f"@{name}", f"\0{name}") if kind == "name" else (str(tmp_path / "s"), str(tmp_path / "s"))
    env = {"NOTIFY_SOCKET": given, "OTHER": "x"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(PATIENCE_S)
        manager.bind(bound)
        service = Service.taken_from(env)
        assert env == {"OTHER": "x"}
        service.tell(READY)
        service.tell(STOPPING)
        assert [manager.recv(100) for _ in range(2)] == [b"READY=1", b"STOPPING=1"]


def test_where_nobody_waits_nothing_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    Service.taken_from({}).tell(READY)
    assert capsys.readouterr().err == ""


def test_a_manager_that_is_gone_is_no_reason_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Service(str(tmp_path / "gone")).tell(READY)
    expected = f"infernet: the service manager at {tmp_path / 'gone'} is not told READY=1: No such file or directory\n"
    assert capsys.readouterr().err == expected
