"""The command line as it is typed, in this process: its exit code, and what it prints."""

import sys
from typing import NamedTuple

import pytest

from api.cli.main import main


class Ended(NamedTuple):
    """How a command ended."""

    code: object
    out: str
    err: str


class Typed:
    """Types commands."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *args: str) -> Ended:
        self._monkeypatch.setattr(sys, "argv", ["infernet", *args])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        return Ended(end.value.code, *self._capsys.readouterr())
