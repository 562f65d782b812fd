"""The real backend passes the suite of all backends, with the built-in model on CPU.

vLLM takes 40 s to start: the suite shares one engine.
"""

import os
import signal
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import psutil
import pytest

from actors.backends import create
from actors.backends.base import Backend, BackendDied
from actors.backends.environment import process_env
from actors.builtin import resolve_source
from cluster.catalogue import Model
from cluster.messages import ChatMessage
from tests.unit.backend_suite import BackendSuite, Inbox, Subject, threads_since

# Not importorskip: vLLM must not be imported before its environment is set.
pytestmark = pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")

SOURCE = "builtin:capitals"
QUESTION = (ChatMessage("user", "What is the capital of Brazil?"),)
"""The answer has a character of two bytes."""


def backend(source: str = SOURCE, **engine: Any) -> Backend:
    return create(Model(id="capitals", source=source, gpus=0, engine=engine), resolve_source(source))


@pytest.fixture(scope="module", autouse=True)
def environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in process_env(Model(id="capitals", source=SOURCE, gpus=0), os.cpu_count() or 1).items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def loaded() -> Iterator[Subject]:
    before = threading.enumerate()
    inbox = Inbox()
    capitals = backend(max_model_len=512, max_num_seqs=32)
    loaded = capitals.load(inbox.sink, inbox.died)

    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(resolve_source(SOURCE))
    yield Subject(capitals, inbox, loaded, QUESTION, lambda ids: tokenizer.decode(ids, skip_special_tokens=True))
    capitals.close()
    capitals.close()
    assert [pid for pid in loaded.processes if psutil.pid_exists(pid)] == []
    assert {name for name in threads_since(before) if name.startswith("vllm")} == set()


class TestVllm(BackendSuite):
    @pytest.fixture
    def subject(self, loaded: Subject) -> Subject:
        return loaded

    def test_says_what_it_offers(self, subject: Subject) -> None:
        assert subject.loaded.slots == 32
        assert subject.loaded.context_length == 512
        assert len(subject.loaded.processes) == 1

    def test_answers(self, subject: Subject) -> None:
        output, _, end = subject.undisturbed()
        assert output.text == "Brasília is the capital of Brazil."
        assert end.finish_reason == "stop"


@pytest.mark.parametrize(
    ("source", "engine", "reason"),
    [
        ("/nowhere/at/all", {}, "there is no folder /nowhere/at/all"),
        (SOURCE, {"max_model_len": 99_999}, r"max_model_len \(99999\) is greater than the derived"),
        (SOURCE, {"max_modellen": 512}, "unexpected keyword argument 'max_modellen'"),
        (
            SOURCE,
            {"num_gpu_blocks_override": 1},
            "No available memory for the cache",
        ),  # found out by the engine's own process
    ],
)
def test_load_failure_tells_vllms_reason(source: str, engine: dict[str, Any], reason: str) -> None:
    inbox = Inbox()
    broken = backend(source, **engine)
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(BackendDied, match=reason) as failure:
        broken.load(inbox.sink, inbox.died)
    assert "\n" not in str(failure.value)
    broken.close()
    left = set(psutil.Process().children(recursive=True)) - before
    assert all("resource_tracker" in " ".join(process.cmdline()) for process in left)
    assert inbox.deaths == []


def test_a_killed_engine_is_a_death() -> None:
    inbox = Inbox()
    doomed = backend(max_model_len=512)
    loaded = doomed.load(inbox.sink, inbox.died)
    os.kill(loaded.processes[0], signal.SIGKILL)
    inbox.wait(lambda: bool(inbox.deaths))
    doomed.close()
    assert "engine process was killed" in str(inbox.deaths[0])
    assert [pid for pid in loaded.processes if psutil.pid_exists(pid)] == []
    assert len(inbox.deaths) == 1
