"""What `infernet env` prints, as a shell reads it."""

import subprocess
from pathlib import Path

from api.cli.run.ray_environment import HAPROXY_VARIABLE, SERVING, exports
from cluster.settings.sections.server import Server


def read_by_a_shell(text: str) -> dict[str, str]:
    """The environment after `eval` of the text."""
    done = subprocess.run(
        ["bash", "-c", 'eval "$1"; env -0', "bash", text], env={}, capture_output=True, text=True, check=True
    )
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if line)


def test_a_shell_has_it_after_eval(tmp_path: Path) -> None:
    folder = tmp_path / "a folder's name"
    shell = read_by_a_shell(exports(folder, {}, Server()))
    assert SERVING.items() <= shell.items()
    assert Path(shell[HAPROXY_VARIABLE]).is_relative_to(folder)
    assert Path(shell[HAPROXY_VARIABLE]).stat().st_mode & 0o111


def test_what_is_set_already_stays(tmp_path: Path) -> None:
    assert "RAY_worker_niceness" not in exports(tmp_path, {"RAY_worker_niceness": "5"}, Server())


def test_it_can_be_asked_for_again(tmp_path: Path) -> None:
    assert exports(tmp_path, {}, Server()) == exports(tmp_path, {}, Server())


def test_the_door_s_limits_are_those_of_the_settings(tmp_path: Path) -> None:
    exports(tmp_path, {}, Server(max_connections=123))
    assert "maxconn 123" in (tmp_path / "haproxy" / "edits.sed").read_text()
