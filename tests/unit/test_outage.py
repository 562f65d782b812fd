"""What fails again and again is told so that somebody reads it."""

import logging

import pytest

from actors.wire.outage import Outage
from tests.support.clocks import StillClock


def test_like_failures_are_one_line_now_and_then_and_their_end_is_told(caplog: pytest.LogCaptureFixture) -> None:
    clock = StillClock()
    outage = Outage("writing", clock)
    with caplog.at_level(logging.WARNING):
        outage.succeeded()
        for _ in range(100):
            outage.failed(ValueError("full"))
        outage.failed(ValueError("locked"))
        clock.advance(30)
        outage.failed(ValueError("full"))
        outage.succeeded()
        outage.succeeded()
        outage.failed(ValueError("full"))
    assert [record.message for record in caplog.records] == [
        "writing: ValueError: full",
        "writing: ValueError: locked (99 more like it)",
        "writing: ValueError: full",
        "writing: works again",
        "writing: ValueError: full",
    ]
    assert (outage.succeeded_s, outage.failed_s) == (clock.s, clock.s)
