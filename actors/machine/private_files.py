"""Files of a state folder, which may be one that others can look into."""

import os
from pathlib import Path
from typing import IO


def opened(path: Path, mode: str) -> IO[str]:
    """As `open`, but only its owner can read or write the file, also where it was there before."""
    file = open(path, mode, encoding="utf-8", newline="", opener=_private)  # noqa: SIM115 - whoever asks for it closes it
    os.fchmod(file.fileno(), 0o600)
    return file


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
