"""Folders that cannot be used are told of in one line, before anything begins."""

import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

from api.cli.connection import state_folder
from api.cli.run import places
from cluster.errors import ConfigError, StartError


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_state_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    places.require_state(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o077 == 0
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize("below", ["", "x"], ids=["a file", "below a file"])
def test_a_state_folder_that_cannot_be_is_named_with_the_cure(below: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / below
    with pytest.raises(StartError, match=rf"^cannot use the state folder {folder}: .*; give another one with --state"):
        places.require_state(folder)


def test_where_nothing_can_be_written_it_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(StartError, match=r"cannot use the state folder .*: Permission denied; give"):
        places.require_state(tmp_path)
    with pytest.raises(StartError, match="no folder for temporary files: /tmp: Permission denied; set TMPDIR"):
        places.temporary()
    with pytest.raises(StartError, match=r"cannot use .*, which Ray needs: Permission denied"):
        places.require_shared_memory()


def test_a_full_disk_is_told_of_before_it_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100 << 20, 98 << 20, 2 << 20))
    with pytest.raises(StartError, match=rf"^no room in {tmp_path}: 2 MiB are free, and 32 are needed to begin$"):
        places.require_state(tmp_path)
    with pytest.raises(StartError, match=r"^no room in /tmp: 2 MiB are free"):
        places.temporary()


def test_a_long_name_of_the_temporary_folder_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    assert places.temporary() == Path("/tmp")
    monkeypatch.setattr(tempfile, "gettempdir", lambda: "/tmp")
    assert places.temporary() == Path("/tmp")


def test_without_any_temporary_folder_it_is_said_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp', '/var/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", refuse)
    with pytest.raises(StartError, match=r"No usable temporary directory found .*; set TMPDIR"):
        places.temporary()


def test_who_has_no_home_is_asked_for_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", homeless)
    with pytest.raises(ConfigError, match=r"^There is no home folder for ~/\.infernet: give --state, or set "):
        state_folder(None, {})
