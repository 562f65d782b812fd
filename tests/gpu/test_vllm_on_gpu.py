"""The main job on vLLM on a GPU: over real HTTP, the engine on one GPU, and nothing left on it when the engine is gone.

Skipped as a whole where there is no NVIDIA GPU, or no vLLM for CUDA. Nothing else may use the GPUs meanwhile: what is
used of their memory is compared with what was used before.
"""

from collections.abc import Iterator
from importlib import metadata
from typing import Any

import pynvml
import pytest

from actors import backends
from cluster.catalogue import Model
from tests.support.serving import Serving

MIB = 2**20
# A process on a GPU holds some hundreds of MiB before it has loaded anything.
HELD_MIB, NOISE_MIB = 1024, 128
START_S = 600.0
ENGINE = {"gpu_memory_utilization": 0.2, "enforce_eager": True}
SETTINGS = {"models": [{"id": "capitals", "source": "builtin:capitals", "gpus": 1, "engine": ENGINE}]}


def used_mib() -> list[int]:
    """What is used of every GPU's memory. Raises NVMLError where there is no NVIDIA driver."""
    pynvml.nvmlInit()
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return [int(pynvml.nvmlDeviceGetMemoryInfo(handle).used) // MIB for handle in handles]
    finally:
        pynvml.nvmlShutdown()


def total_mib(index: int) -> int:
    pynvml.nvmlInit()
    try:
        return int(pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(index)).total) // MIB
    finally:
        pynvml.nvmlShutdown()


def what_is_missing() -> str | None:
    try:
        if not used_mib():
            return "this machine has no NVIDIA GPU"
    except pynvml.NVMLError as error:
        return f"this machine has no NVIDIA GPU: {error}"
    try:
        metadata.version("vllm")
    except metadata.PackageNotFoundError:
        return "vLLM for CUDA is not installed: make clean, then make gpu EXTRAS=gpu,dev"
    return None


MISSING = what_is_missing()
pytestmark = [pytest.mark.skipif(MISSING is not None, reason=MISSING or ""), pytest.mark.timeout(2 * START_S)]


class Gpus:
    """What of the GPUs' memory has come to be used since this began."""

    def __init__(self) -> None:
        self._before = used_mib()

    def gained_mib(self) -> list[int]:
        return [now - before for now, before in zip(used_mib(), self._before, strict=True)]

    def held(self) -> dict[int, int]:
        """The GPUs that somebody holds memory of, and how much."""
        return {index: gained for index, gained in enumerate(self.gained_mib()) if gained > NOISE_MIB}


@pytest.fixture(scope="module")
def gpus() -> Gpus:
    return Gpus()


@pytest.fixture(scope="module")
def serving(gpus: Gpus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    system = Serving(tmp_path_factory.mktemp("gpu"), SETTINGS)
    try:
        system.wait_for("Model capitals: ready", START_S)
        yield system
        assert system.stop() == 0
    finally:
        system.end()
    assert gpus.held() == {}


def ask(serving: Serving, country: str) -> tuple[str, dict[str, Any]]:
    """The streamed answer, and the job's record."""
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": f"What is the capital of {country}?"},
    ]
    with serving.client() as client:
        text = "".join(client.stream({"model": "capitals", "messages": messages, "stream": True}))
        return text, client.job(client.headers["X-Job-Id"])


def test_the_main_job(serving: Serving) -> None:
    text, job = ask(serving, "France")
    assert text == job["result"]["content"] == "Paris is the capital of France."
    assert job["status"] == "completed"
    assert job["result"]["usage"] == {"prompt_tokens": 26, "completion_tokens": 8, "total_tokens": 34}


def test_the_node_tells_of_its_gpus(serving: Serving) -> None:
    with serving.client() as client:
        (node,) = client.nodes()["nodes"]
    assert len(node["gpus"]) == len(used_mib())


def test_the_engine_takes_no_less_memory_than_is_counted_before_its_start(serving: Serving, gpus: Gpus) -> None:
    demand = backends.demand(Model(id="capitals", source="builtin:capitals", gpus=1, engine=ENGINE))
    assert demand is not None and demand.request_bytes > 0
    ((index, held_mib),) = gpus.held().items()
    assert demand.needed_bytes / MIB < held_mib
    # Where it has room for more than one request, vLLM takes its share, whatever the model needs.
    assert held_mib == pytest.approx(demand.share * total_mib(index), rel=0.2)


def test_the_engine_sees_and_uses_one_gpu(serving: Serving, gpus: Gpus) -> None:
    ((index, held_mib),) = gpus.held().items()
    assert held_mib > HELD_MIB
    (engine,) = serving.actors("Engine")
    # Ray sets it in the engine's process after it has begun, so that only what it starts shows it.
    seen = [process.environ().get("CUDA_VISIBLE_DEVICES") for process in engine.children(recursive=True)]
    assert set(seen) == {str(index)}


def test_a_killed_engine_holds_no_memory_and_the_one_after_it_serves(serving: Serving, gpus: Gpus) -> None:
    (held_mib,) = gpus.held().values()
    (engine,) = serving.actors("Engine")
    engine.kill()
    serving.wait_for("Model capitals: ready", START_S)
    (next_engine,) = serving.actors("Engine")
    assert next_engine.pid != engine.pid
    # All GPUs together hold one engine, not two.
    assert sum(gpus.held().values()) == pytest.approx(held_mib, rel=0.2)
    assert ask(serving, "Italy")[0] == "Rome is the capital of Italy."
