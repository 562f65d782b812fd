"""What a backend does while it loads: told while it does it, and how long each part took."""

import logging

import pytest

from actors.backends.phases import Phases
from tests.support.clocks import StillClock


def test_phases_follow_each_other_and_the_log_tells_their_times(caplog: pytest.LogCaptureFixture) -> None:
    clock = StillClock(0)
    phases = Phases("m", clock)
    assert phases.now == ""
    phases.begin("importing")
    clock.advance(9.5)
    phases.begin("loading the weights")
    assert phases.now == "loading the weights"
    clock.advance(3.0)
    with caplog.at_level(logging.INFO):
        phases.end()
    assert phases.now == ""
    assert caplog.messages == ["m is ready after 12.5 s: importing 9.5 s, loading the weights 3.0 s"]
