"""The command line as it is typed, in this process: its exit code, and what it prints."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

import pytest

from api.cli import exits
from api.cli.main import app, main


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


def typed(*args: str) -> Ended:
    """The same in any thread, where one command is typed at a time."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        code = exits.code_of(lambda: app(args, prog_name="infernet", standalone_mode=False))
    return Ended(code, *(_read(each) for each in (out, err)))


def _read(written: io.TextIOWrapper) -> str:
    written.flush()
    buffer = written.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()
