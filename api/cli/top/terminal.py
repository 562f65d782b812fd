"""Keys that are pressed while something else is shown."""

import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager


class Keyboard:
    """Waits for keys, each of which comes at once."""

    def pressed(self, within_s: float) -> str:
        """The keys pressed by then, or none."""
        ready, _, _ = select.select([sys.stdin], [], [], within_s)
        return os.read(sys.stdin.fileno(), 64).decode(errors="replace") if ready else ""


@contextmanager
def keyboard() -> Iterator[Keyboard]:
    """In here, keys are not shown, and need no Return. Ctrl-C stays what it is."""
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield Keyboard()
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
