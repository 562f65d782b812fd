"""The real backend passes the suite of all backends, with the built-in model on CPU.

vLLM takes 40 s to start: the suite shares one engine.
"""

import os
import re
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
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
SEPARATE = "VLLM_ENABLE_V1_MULTIPROCESSING"
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
        assert subject.loaded.processes == ()  # on a CPU it runs in this one

    def test_answers(self, subject: Subject) -> None:
        output, _, end = subject.undisturbed()
        assert output.text == "Brasília is the capital of Brazil."
        assert end.finish_reason == "stop"


@pytest.fixture(scope="module")
def apart() -> Iterator[Executor]:
    """A process where vLLM's engine has processes of its own, as on a GPU: vLLM looks at that only once."""
    with ProcessPoolExecutor(1, get_context("spawn"), separate_processes) as pool:
        yield pool


def separate_processes() -> None:
    os.environ[SEPARATE] = "1"


@pytest.mark.parametrize(
    ("source", "engine", "reason"),
    [
        ("/nowhere/at/all", {}, "there is no folder /nowhere/at/all"),
        (SOURCE, {"max_model_len": 99_999}, r"max_model_len \(99999\) is greater than the derived"),
        (SOURCE, {"max_modellen": 512}, "unexpected keyword argument 'max_modellen'"),
        # Found out by the engine's own process.
        (SOURCE, {"num_gpu_blocks_override": 1}, "No available memory for the cache"),
    ],
)
def test_load_failure_tells_vllms_reason(apart: Executor, source: str, engine: dict[str, Any], reason: str) -> None:
    told, deaths, left = apart.submit(fail_to_load, source, engine).result()
    assert re.search(reason, told)
    assert "\n" not in told
    assert (deaths, left) == ([], [])


def test_a_killed_engine_is_a_death(apart: Executor) -> None:
    deaths, left = apart.submit(kill_the_engine).result()
    assert len(deaths) == 1
    assert "engine process was killed" in deaths[0]
    assert left == []


def fail_to_load(source: str, engine: dict[str, Any]) -> tuple[str, list[str], list[list[str]]]:
    """The reason told, the deaths told, and the processes left."""
    inbox = Inbox()
    broken = backend(source, **engine)
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(BackendDied) as failure:
        broken.load(inbox.sink, inbox.died)
    broken.close()
    left = [process.cmdline() for process in set(psutil.Process().children(recursive=True)) - before]
    lasting = [command for command in left if "resource_tracker" not in " ".join(command)]
    return str(failure.value), [str(death) for death in inbox.deaths], lasting


def kill_the_engine() -> tuple[list[str], list[int]]:
    """The deaths told, and the pids left."""
    inbox = Inbox()
    doomed = backend(max_model_len=512)
    loaded = doomed.load(inbox.sink, inbox.died)
    os.kill(loaded.processes[0], signal.SIGKILL)
    inbox.wait(lambda: bool(inbox.deaths))
    doomed.close()
    return [str(death) for death in inbox.deaths], [pid for pid in loaded.processes if psutil.pid_exists(pid)]
