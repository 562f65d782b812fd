"""Pooling models over HTTP, as unchanged clients use them: real Ray and vLLM, and an engine that is killed."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from openai import OpenAI

from tests.contract.client import Api
from tests.contract.clients.running import run_tests
from tests.contract.given import MadeKey
from tests.contract.javascript import node
from tests.support.pooling_models import DIMENSIONS, embedding_model
from tests.support.serving import Serving
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("pooling")
    source = str(embedding_model(folder / "model"))
    model = {"id": "m", "source": source, "gpus": 0, "engine": {"runner": "pooling"}, "price": {"prompt": 1.0}}
    serving = Serving(folder / "run", {"models": [model], "server": {"replicas": 1}})
    try:
        yield serving.wait_until_ready("m")
    finally:
        serving.stop()


def refusal(response: httpx.Response) -> str:
    assert response.status_code == 400, response.text
    return str(response.json()["error"]["message"])


def test_openais_client_gets_vectors_however_it_asks(embedder: Serving) -> None:
    with OpenAI(base_url=f"{embedder.connection.url}/v1", api_key=embedder.connection.key) as client:
        encoded = client.embeddings.create(model="m", input=["ab", "cd ef"])  # by itself it asks for base64
        plain = client.embeddings.create(model="m", input="ab", encoding_format="float")
    assert [len(each.embedding) for each in encoded.data] == [DIMENSIONS] * 2
    assert encoded.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-3)
    assert (plain.usage.prompt_tokens, plain.usage.total_tokens) == (4, 4)


def test_clients_that_others_wrote_get_vectors(embedder: Serving) -> None:
    key = MadeKey({"key": embedder.connection.key}, Api(embedder.connection.url, embedder.connection.key))
    with key.api.http:
        for script, *provider in (("openai_tools.mjs",), ("ai_sdk.mjs", "openai"), ("ai_sdk.mjs", "openai-compatible")):
            assert node(key, script, "embeddings", "m", *provider)["sizes"] == [DIMENSIONS] * 2
        run_tests("langchain", "langchain_embeddings_client.py", key, model="m", dimensions=str(DIMENSIONS))


def test_scores_rankings_and_refusals(embedder: Serving) -> None:
    with embedder.http() as http:
        scored = http.post("/score", json={"model": "m", "text_1": "ab", "text_2": ["cd ef", "ab"]}).json()
        ranked = http.post("/v2/rerank", json={"model": "m", "query": "ab", "documents": ["cd ef", "ab"]}).json()
        chat = http.post("/v1/chat/completions", json={"model": "m", "messages": [{"role": "user", "content": "a"}]})
        long = http.post("/v1/embeddings", json={"model": "m", "input": "a " * 100})
        listed = http.get("/api/v1/jobs").json()["jobs"]
    assert [each["index"] for each in ranked["results"]] == [1, 0]
    assert ranked["results"][0]["relevance_score"] == pytest.approx(scored["data"][1]["score"], abs=1e-3)
    assert "generates no text" in refusal(chat)
    assert "maximum context length is 64 tokens" in refusal(long)
    assert listed[0]["result"]["usage"] == {"prompt_tokens": 20, "completion_tokens": 0, "total_tokens": 20}


def test_jobs_survive_their_engine_and_are_counted_once(embedder: Serving) -> None:
    def ask(number: int) -> dict[str, Any]:
        with embedder.http() as http:
            answer = http.post("/v1/embeddings", json={"model": "m", "input": ["a b c d e f g h"] * 500}, timeout=300)
            assert answer.status_code == 200, answer.text
            told: dict[str, Any] = answer.json()
            return told

    with embedder.http() as http, ThreadPoolExecutor(8) as threads:
        before = http.get("/api/v1/usage").json()["usage"][0]
        (engine,) = embedder.actors("Engine")
        for child in engine.children(recursive=True):
            child.suspend()  # vLLM itself: what is asked of it stays unanswered
        asked = [threads.submit(ask, number) for number in range(8)]
        wait_until(lambda: bool(http.get("/api/v1/jobs?status=processing").json()["jobs"]), 60, "a job that runs")
        os.kill(engine.pid, signal.SIGKILL)
        answers = [each.result() for each in asked]
        after = http.get("/api/v1/usage").json()["usage"][0]
    assert all(len(answer["data"]) == 500 for answer in answers)
    assert after["prompt_tokens"] - before["prompt_tokens"] == 8 * 500 * 10
    assert after["completion_tokens"] == 0
