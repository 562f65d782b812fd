"""The command `infernet` as its users run it: a process of its own."""

import asyncio
import os
import sys
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("infernet")


async def infernet(*arguments: str | Path, **env: str) -> tuple[int, str, str]:
    """How the command ends with these arguments and variables: its exit code, stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        *arguments,
        env={**os.environ, **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()
