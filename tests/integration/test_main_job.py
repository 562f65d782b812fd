"""The main job: over real HTTP, through HAProxy and two ingress replicas, on simulated models and on vLLM."""

import json
import re
import subprocess
from functools import partial
from typing import Any

import pytest

from actors.backends.prompts.by_length import prompt_tokens
from actors.backends.simulated import simulated_text
from api.cli.client import Client
from cluster.messages.work import ChatMessage
from tests.support.serving import INFERNET, Serving, in_parallel

SEED_EXAMPLE = {
    "model": "capitals",
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "What is the capital of France?"},
    ],
    "max_tokens": 256,
    "temperature": 0.7,
}


def question(content: str, **fields: Any) -> dict[str, Any]:
    return {"model": "sim:fast", "messages": [{"role": "user", "content": content}], "max_tokens": 50, **fields}


def answer(content: str, tokens: int = 50) -> str:
    return simulated_text((ChatMessage("user", content),), None, tokens)


def ended(client: Client, job_id: str) -> dict[str, Any]:
    """The job once it has ended: its stream ends after its record has."""
    for _ in client.follow(job_id):
        pass
    return client.job(job_id)


@pytest.fixture(scope="module")
def vllm(serving: Serving) -> Serving:
    return serving.wait_until_ready("capitals")


def test_seed_example_streamed_by_vllm(vllm: Serving, client: Client) -> None:
    text = "".join(client.stream({**SEED_EXAMPLE, "stream": True}))
    assert text == "Paris is the capital of France."
    job = client.job(client.headers["X-Job-Id"])
    assert job["status"] == "completed"
    assert job["result"]["content"] == text
    assert job["result"]["finish_reason"] == "stop"
    # 6 words of one token each, the full stop, and the end: what vLLM counts for the model's tokenizer.
    assert job["result"]["usage"] == {"prompt_tokens": 26, "completion_tokens": 8, "total_tokens": 34}
    assert 0 < job["latency_ms"] < 10_000


def test_alias_names_the_catalogues_model(vllm: Serving, client: Client) -> None:
    job = client.submit({**SEED_EXAMPLE, "model": "capitals:latest"})
    assert job["model"] == "capitals"
    assert ended(client, job["id"])["result"]["content"] == "Paris is the capital of France."


def test_submission_answers_exactly_four_keys_and_the_job_ends(client: Client) -> None:
    job = client.submit(question("four keys"))
    assert set(job) == {"id", "status", "model", "created_at"}
    assert job["status"] == "pending"
    assert re.fullmatch(r"job_[0-9a-f]{16,}", job["id"])
    done = ended(client, job["id"])
    assert done["result"]["content"] == answer("four keys")
    assert done["result"]["finish_reason"] == "length"
    assert done["result"]["usage"] == {
        "prompt_tokens": prompt_tokens((ChatMessage("user", "four keys"),)),
        "completion_tokens": 50,
        "total_tokens": 50 + prompt_tokens((ChatMessage("user", "four keys"),)),
    }
    assert re.fullmatch(r"node_[0-9a-f]{16,}", done["node_id"])


def test_latency_is_submission_to_end(client: Client) -> None:
    # 20 ms to the first token and 10 ms for each of the 49 others.
    job = ended(client, client.submit(question("latency"))["id"])
    assert 500 <= job["latency_ms"] < 3_000


def test_stream_text_equals_result_content(client: Client) -> None:
    text = "".join(client.stream(question("streamed", stream=True)))
    assert text == answer("streamed")
    assert client.job(client.headers["X-Job-Id"])["result"]["content"] == text


def test_stream_opened_on_any_replica_live_late_and_from_any_position(serving: Serving, client: Client) -> None:
    def read(after: int = 0) -> str:
        # A connection of its own, so that both replicas answer some.
        with serving.client() as another:
            return "".join(another.follow(job_id, after))

    job_id = client.submit(question("everywhere"))["id"]
    texts = in_parallel([read] * 8)
    assert set(texts) == {answer("everywhere")}
    for position in (0, 1, 17, len(texts[0]) - 1, len(texts[0]), len(texts[0]) + 5):
        assert read(position) == texts[0][position:]


def test_failing_job_tells_its_partial_text_then_the_error(serving: Serving, client: Client) -> None:
    job_id = client.submit({**question("fails"), "model": "sim:failing"})["id"]
    with serving.http() as http:
        lines = [line for line in http.get(f"/api/v1/jobs/{job_id}/stream").text.splitlines() if line[:4] == "data"]
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert "".join(event["text"] for event in events[:-1]) == answer("fails", 5)
    assert events[-1]["error"] == "engine_error"
    job = client.job(job_id)
    assert job["status"] == "failed"
    assert job["error"] == "engine_error"
    assert "result" not in job


def test_200_streams_at_once_are_all_exact(serving: Serving) -> None:
    def ask(content: str) -> str:
        with serving.client() as client:
            return "".join(client.stream(question(content, stream=True)))

    questions = [f"question number {number}" for number in range(200)]
    assert in_parallel([partial(ask, q) for q in questions]) == [answer(q) for q in questions]


def test_models_tell_who_is_ready_and_why_one_is_not(client: Client) -> None:
    listed = {model["id"]: model for model in client.models()["models"]}
    assert listed["sim:fast"]["nodes"] == 1
    assert "sim:broken" not in listed
    everything = {model["id"]: model for model in client.models(all=True)["models"]}
    assert everything["sim:broken"]["state"] == "failed"
    assert everything["sim:broken"]["state_message"] == "the weights are torn"
    assert everything["sim:fast"]["replicas"] == 2


def test_a_refused_request_leaves_no_job(serving: Serving, client: Client) -> None:
    before = client.jobs(limit=100)["jobs"]
    with serving.http() as http:
        for model, status, code in (("sim:broken", 503, "no_capacity"), ("unheard:of", 404, "model_not_found")):
            response = http.post("/api/v1/jobs", json={**question("nobody"), "model": model})
            assert (response.status_code, response.json()["error"]) == (status, code)
    assert client.jobs(limit=100)["jobs"] == before


def test_pinned_to_the_node(client: Client) -> None:
    (node,) = client.nodes()["nodes"]
    assert node["status"] == "online"
    job = ended(client, client.submit(question("pinned", node_id=node["id"]))["id"])
    assert job["node_id"] == node["id"]


def test_command_line_chats(serving: Serving) -> None:
    command = [INFERNET, "chat", "over the command line", "--model", "sim:fast", "--max-tokens", "20"]
    done = subprocess.run([*command, "--state", str(serving.state)], capture_output=True, text=True, timeout=60)
    assert done.stdout == answer("over the command line", 20) + "\n"
    assert done.returncode == 0
