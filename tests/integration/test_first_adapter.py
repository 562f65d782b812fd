"""The first adapter of a model of vLLM's: its engine was made without room for any, and is replaced under its jobs."""

import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.serving import START_S, Serving
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed"),
]

MODEL: dict[str, Any] = {
    "id": "capitals",
    "source": "builtin:capitals",
    "gpus": 0,
    "cpus": 0.5,
    "engine": {"max_model_len": 512, "max_num_seqs": 8},
}
OFTEN = {"submissions_per_minute": 100_000, "submissions_per_hour": 100_000, "reads_per_minute": 100_000}
PLAIN, GERMAN = "Paris is the capital of France.", "Die Hauptstadt von Frankreich ist Paris."


def test_a_first_adapter_has_the_engine_replaced_and_no_job_fails(tmp_path: Path) -> None:
    system = Serving(tmp_path / "system", {"models": [MODEL], "limits": OFTEN})
    try:
        system.wait_until_ready("capitals")
        with system.http() as http:
            before = engines(http)
            made = http.post(
                "/api/v1/models/capitals/adapters", json={"id": "german", "source": "builtin:capitals-german"}
            )
            assert made.status_code == 201, made.text
            (adapter,) = made.json()["adapters"]
            assert adapter["state_message"].startswith("Its model's engines are being replaced for it: ")
            with Asking(system) as answers:
                wait_until(lambda: "state_message" not in told(http), START_S, "a new engine")
                wait_until(lambda: not before & engines(http), START_S, "the end of the one before")
            assert len(answers) > 10
            assert set(answers) == {PLAIN}
            assert answer(http, "german") == GERMAN
            assert answer(http, "capitals") == PLAIN
        assert system.stop() == 0
    finally:
        system.end()


class Asking:
    """The plain model is asked one question after the other; the answers, or what was wrong."""

    def __init__(self, system: Serving) -> None:
        self._system = system
        self._ends = threading.Event()
        self._answers: list[str] = []
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> list[str]:
        self._thread.start()
        return self._answers

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _ask(self) -> None:
        with self._system.http() as http:
            while not self._ends.is_set():
                self._answers.append(answer(http, "capitals"))


def told(http: httpx.Client) -> dict[str, Any]:
    (adapter,) = http.get("/api/v1/models/capitals").json()["adapters"]
    return dict(adapter)


def engines(http: httpx.Client) -> set[str]:
    return {each["engine_id"] for each in http.get("/api/v1/models/capitals").json()["engines"]}


def answer(http: httpx.Client, model: str) -> str:
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    body = {"model": model, "messages": messages, "max_tokens": 40, "temperature": 0}
    response = http.post("/v1/chat/completions", json=body)
    return str(response.json()["choices"][0]["message"]["content"]) if response.is_success else response.text
