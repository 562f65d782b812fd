"""The only admin key is never lost, whatever becomes of the start that made it."""

import asyncio
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from api.cli.connection import Connection, read, write
from api.cli.run.first_keys import FirstKeys
from cluster.errors import ConfigError

URL = "http://127.0.0.1:8000"


def only(*keys: str | None) -> Callable[[str], Awaitable[bool]]:
    """A system that lets in these keys."""

    async def is_ours(key: str) -> bool:
        return key in keys

    return is_ours


def remembered(keys: FirstKeys, told: str | None, *ours: str | None) -> str | None:
    return asyncio.run(keys.remember(told, only(*ours)))


def test_a_key_is_in_the_folder_before_a_database_has_it_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    keys = FirstKeys(folder, URL, None)
    (file,) = folder.iterdir()
    assert keys.first is not None
    assert file.read_text() == keys.first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_start_that_fails_after_the_database_has_the_key_does_not_lose_it(tmp_path: Path) -> None:
    lost = FirstKeys(tmp_path, URL, None).first
    again = FirstKeys(tmp_path, "http://127.0.0.1:9000", None)
    assert remembered(again, None, lost) == lost
    assert read(tmp_path) == Connection("http://127.0.0.1:9000", str(lost))
    assert [file.name for file in tmp_path.iterdir()] == ["connection.json"]


def test_the_next_start_goes_on_with_the_key_that_is_kept_and_tells_nobody(tmp_path: Path) -> None:
    write(tmp_path, Connection(URL, "inft_kept"))
    assert remembered(FirstKeys(tmp_path, "http://[::1]:8000", None), None, "inft_kept") is None
    assert read(tmp_path) == Connection("http://[::1]:8000", "inft_kept")
    assert [file.name for file in tmp_path.iterdir()] == ["connection.json"]


def test_a_key_that_is_given_is_not_shown_and_no_other_is_made(tmp_path: Path) -> None:
    keys = FirstKeys(tmp_path, URL, "inft_given")
    assert (keys.first, list(tmp_path.iterdir())) == ("inft_given", [])
    assert remembered(keys, None, "inft_given") is None
    assert read(tmp_path) == Connection(URL, "inft_given")


def test_of_another_database_neither_key_is_kept(tmp_path: Path) -> None:
    write(tmp_path, Connection(URL, "inft_kept"))
    assert remembered(FirstKeys(tmp_path, URL, None), None) is None
    assert read(tmp_path) == Connection(URL, "inft_kept")


def test_what_the_ledger_made_by_itself_is_told(tmp_path: Path) -> None:
    assert remembered(FirstKeys(tmp_path, URL, None), "inft_told", "inft_told") == "inft_told"
    assert read(tmp_path) == Connection(URL, "inft_told")


def test_what_cannot_be_used_is_told_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="printable ASCII"):
        FirstKeys(tmp_path, URL, "two words")
    (tmp_path / "connection.json").write_text("{")
    with pytest.raises(ConfigError, match=r"connection\.json does not hold"):
        FirstKeys(tmp_path, URL, None)
    assert [file.name for file in tmp_path.iterdir()] == ["connection.json"]
