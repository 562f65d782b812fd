"""The unit file and the Dockerfile of docs/deploy say what this system needs, in words that systemd and make know."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from api.cli.run import guard, ray_cluster
from api.cli.run.door.limits import Limits
from cluster.settings.sections.server import Server

ROOT = Path(__file__).parents[2]
UNIT, DOCKERFILE = (ROOT / "docs" / "deploy" / name for name in ("infernet.service", "Dockerfile"))


@pytest.fixture(scope="module")
def service() -> configparser.SectionProxy:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(UNIT)
    return unit["Service"]


def test_systemd_gives_the_time_that_starting_and_stopping_may_take(service: configparser.SectionProxy) -> None:
    assert int(service["TimeoutStartSec"]) > ray_cluster.ATTEMPTS * ray_cluster.START_S
    assert int(service["TimeoutStopSec"]) > guard.STOP_S
    assert (service["Type"], service["NotifyAccess"], service["KillMode"]) == ("notify", "all", "mixed")


def test_both_let_as_many_files_be_open_as_the_default_of_connections_takes(
    service: configparser.SectionProxy,
) -> None:
    (ulimit,) = re.findall(r"--ulimit nofile=(\d+)", DOCKERFILE.read_text())
    for files in (service["LimitNOFILE"], ulimit):
        assert Limits.of(Server(), int(files)).shortage is None


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    """But for what only the machine has that it is meant for: the program."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/infernet/.venv/bin/infernet", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60)
    said = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert said == []


def test_what_the_image_is_made_of_is_there() -> None:
    lines = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text()).splitlines()
    copied = [source for line in lines if line.startswith("COPY ") for source in line.split()[1:-1]]
    assert [source for source in copied if not (ROOT / source).exists()] == []
    assert {"cluster", "actors", "api", "pyproject.toml", "constraints.txt", "Makefile", "README.md"} <= set(copied)
    (made,) = [line for line in lines if line.startswith("RUN make ")]
    plan = subprocess.run(["make", "--dry-run", *made.split()[2:]], cwd=ROOT, capture_output=True, timeout=60)
    assert plan.returncode == 0, plan.stderr
    begun = [line.split()[0] for line in lines if re.match("ENTRYPOINT|CMD|USER|STOPSIGNAL", line)]
    assert begun == ["USER", "STOPSIGNAL", "ENTRYPOINT", "CMD"]
