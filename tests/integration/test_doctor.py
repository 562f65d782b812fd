"""`infernet doctor --start`: a system of its own, from nothing to nothing."""

import asyncio

import pytest

from tests.support.command import infernet

pytestmark = pytest.mark.long


@pytest.mark.timeout(400)
def test_a_job_is_done_and_nothing_is_left() -> None:
    code, out, err = asyncio.run(infernet("doctor", "--start", "--only", "clock"))
    assert (code, err) == (0, ""), out
    told = [line.split()[:2] for line in out.splitlines() if line.startswith(("ok", "fault", "warning"))]
    assert told == [["ok", area] for area in ("clock", "trial", "server", "job", "trial")]
    assert "of model capitals was completed in" in out
    assert "left nothing behind" in out
