"""Waiting for what nobody signals: it is looked at, again and again."""

import time
from collections.abc import Callable

LOOK_S = 0.2


def wait_until(condition: Callable[[], bool], within_s: float, what: str = "") -> None:
    """Returns once the condition holds. Fails when it does not `within_s`, and says for `what` it waited."""
    give_up_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up_s, f"waited for {what}"
        time.sleep(LOOK_S)
