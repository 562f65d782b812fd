"""How far a download of weights is, by the files that the hub's library writes."""

from pathlib import Path

import pytest

from actors.backends.download import Download
from cluster.catalogue import Model
from tests.support.clocks import StillClock
from tests.support.waiting import wait_until

MIB = 1 << 20


def grow(path: Path, size: int) -> None:
    """A file of so many bytes, of which none is written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.truncate(size)


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    return tmp_path / "models--org--name" / "blobs"


@pytest.fixture
def model(tmp_path: Path) -> Model:
    # A hub that nobody answers for.
    env = {"HF_HUB_CACHE": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:1"}
    return Model("m", source="org/name", env=env)


def test_what_is_on_its_way_is_told_with_its_speed(model: Model, blobs: Path) -> None:
    clock = StillClock(0)
    download = Download(model, clock)
    assert download.told() is None
    grow(blobs / "config", 1000)
    assert download.told() is None
    grow(blobs / "a.1234.incomplete", 1 << 30)
    assert download.told() == "downloading the weights: 1.0 GiB so far"
    clock.advance(10)
    grow(blobs / "a.1234.incomplete", 3 << 30)
    assert download.told() == "downloading the weights: 3.0 GiB so far, 205 MiB/s"
    (blobs / "a.1234.incomplete").rename(blobs / "a")
    assert download.told() is None


def test_how_much_is_left_is_told_once_the_hub_has_said(
    model: Model, blobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.backends.download.total_bytes", lambda model: 5 << 30)
    clock = StillClock(0)
    download = Download(model, clock)
    grow(blobs / "a.incomplete", 1 << 30)
    wait_until(lambda: " of " in (download.told() or ""), 10)
    clock.advance(10)
    grow(blobs / "a.incomplete", 3 << 30)
    assert download.told() == "downloading the weights: 3.0 of 5.0 GiB, 205 MiB/s, 10 seconds left"


@pytest.mark.parametrize("source", ["/models/here", "builtin:capitals"])
def test_what_is_here_is_not_downloaded(source: str) -> None:
    assert Download(Model("m", source=source)).told() is None


def test_without_a_word_of_the_hub_there_is_less_to_tell_and_a_line_in_the_log(
    model: Model, blobs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    grow(blobs / "a.incomplete", MIB)
    with caplog.at_level("INFO"):
        assert Download(model).told() == "downloading the weights: 0.0 GiB so far"
        wait_until(lambda: "how large m is could not be asked" in caplog.text, 10)
