"""Which processes are scheduled as batch work, and that those of a model are not."""

import logging
import os
import subprocess
import sys

import pytest

from actors.machine.scheduling_class import ordinary, restore_priority, use_batch

linux = pytest.mark.skipif(sys.platform != "linux", reason="scheduling policies are Linux's")

_POLICIES = """
import os, subprocess, sys, threading
from actors.machine.scheduling_class import use_batch, ordinary

ended = threading.Event()
older = threading.Thread(target=ended.wait)
older.start()
use_batch()
child = [sys.executable, "-c", "import os; print(os.sched_getscheduler(0))"]
with ordinary():
    model = int(subprocess.check_output(child))
other = int(subprocess.check_output(child))
print([os.sched_getscheduler(thread) for thread in (0, older.native_id)], model, other)
ended.set()
"""


@linux
def test_threads_and_children_are_batch_work_but_for_a_models_process() -> None:
    # In a process of its own: this one goes on with other tests.
    printed = subprocess.run([sys.executable, "-c", _POLICIES], check=True, capture_output=True, text=True, timeout=60)
    batch, ordinary = os.SCHED_BATCH, os.SCHED_OTHER
    assert printed.stdout.strip() == f"{[batch, batch]} {ordinary} {batch}"


@linux
def test_a_policy_that_cannot_be_had_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(thread: int, policy: int, param: os.sched_param) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with caplog.at_level(logging.WARNING):
        use_batch()
        assert [record.levelname for record in caplog.records] == ["WARNING"]  # once, however many threads there are
        with ordinary():
            pass
    assert "Operation not permitted" in caplog.text


def test_priority_that_cannot_be_had_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(which: int, who: int, priority: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)
    monkeypatch.setattr(os, "getpriority", lambda which, who: 15)
    with caplog.at_level(logging.WARNING):
        assert restore_priority() is False
    assert "nice 15" in caplog.text
