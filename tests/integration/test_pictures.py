"""Pictures through the whole system: HTTP, Ray, and vLLM on a tiny model that sees; an engine that is killed, too."""

import base64
import json
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from cluster.catalogue import Model
from tests.support.forms import ENGINE, SEEING, Forms
from tests.support.pictures import data_url, noise, picture
from tests.support.seeing_model import PICTURE_TOKENS

pytestmark = pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")

QUESTION = "What is the capital of France?"
LONG = {"max_tokens": 300, "ignore_eos": True}


def asked(*urls: str, **fields: Any) -> dict[str, Any]:
    pictures = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    content = [{"type": "text", "text": QUESTION}, *pictures]
    base = {"model": SEEING, "messages": [{"role": "user", "content": content}], "temperature": 0, "max_tokens": 30}
    return {**base, **fields}


def test_what_is_seen_is_answered_for(forms: Forms) -> None:
    plain = answer(forms.http, asked())
    red, blue, again = (answer(forms.http, asked(data_url(picture(colour)))) for colour in ("red", "blue", "red"))
    assert len({text_of(plain), text_of(red), text_of(blue)}) == 3
    assert text_of(again) == text_of(red)
    assert red["usage"]["prompt_tokens"] == plain["usage"]["prompt_tokens"] + PICTURE_TOKENS


def test_a_job_sees_as_a_chat_does(forms: Forms) -> None:
    body = asked(data_url(picture("red")))
    job = run_job(forms.http, body).job
    assert job["result"]["content"] == text_of(answer(forms.http, body))
    assert job["result"]["usage"]["prompt_tokens"] == answer(forms.http, body)["usage"]["prompt_tokens"]


def test_a_picture_of_megabytes_comes_through_the_door_however_it_is_sent(forms: Forms) -> None:
    large = noise(1000)
    body = asked(data_url(large))
    sent = json.dumps(body).encode()
    assert len(large) > 2 << 20
    whole = answer(forms.http, body)
    assert whole["usage"]["completion_tokens"] > 0
    parts = (sent[begin : begin + (1 << 16)] for begin in range(0, len(sent), 1 << 16))
    assert text_of(forms.http.post("/v1/chat/completions", content=parts).json()) == text_of(whole)
    too_large = forms.http.post("/v1/chat/completions", json=asked(*[data_url(large)] * 6))
    assert too_large.status_code == 413


def test_what_a_model_or_vllm_cannot_take_is_refused_and_there_is_no_job(forms: Forms) -> None:
    before = jobs(forms.http)
    url = data_url(picture("red"))
    refused = {
        "not a multimodal model": asked(url, model="capitals"),
        "Failed to load image": asked(data_url(picture("red", 300, 300)[:-40])),
        "audio": asked() | {"messages": [{"role": "user", "content": [audio()]}]},
    }
    for reason, body in refused.items():
        response = forms.http.post("/v1/chat/completions", json=body)
        assert response.status_code == 400, reason
        assert reason in response.json()["error"]["message"]
    assert jobs(forms.http) == before


def test_a_picture_is_kept_once_and_in_no_jobs_row_and_no_log(forms: Forms) -> None:
    colours = picture("purple", 61, 47)
    for _ in range(2):
        answer(forms.http, asked(data_url(colours)))
    database = forms.serving.database()
    assert colours in database
    written = base64.b64encode(colours)
    assert written not in database
    assert written not in "".join(forms.serving.lines).encode()
    logs = [path for path in Path(forms.serving.run).rglob("*") if path.is_file()]
    assert any("worker" in path.name for path in logs)
    assert [path for path in logs if path.exists() and _holds(path, written, colours)] == []


@pytest.mark.long
def test_plain_and_streamed_as_vllms_own_server_answers(forms: Forms, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The whole answers, and what the streams tell, but for ids, times and what was cached."""
    from tests.benchmarks.servers import VllmServer

    entry = Model(id=SEEING, source=str(forms.seeing), gpus=0, engine=ENGINE)
    red, blue = data_url(picture("red")), data_url(picture("blue", 90, 20))
    folder = tmp_path_factory.mktemp("v")  # it makes sockets there, whose paths may not be long
    with VllmServer(folder / "vllm", entry) as theirs, httpx.Client(base_url=theirs.url, timeout=60) as vllm:
        for body in (
            asked(red),
            asked(red, blue),
            asked(blue, logprobs=True, top_logprobs=2),
            asked(red, n=2, temperature=0.5, seed=7),
        ):
            ours, told = answer(forms.http, body), answer(vllm, body)
            assert [_choice(each) for each in ours["choices"]] == [_choice(each) for each in told["choices"]]
            assert _counts(ours["usage"]) == _counts(told["usage"])
            assert streamed(forms.http, body) == streamed(vllm, body)


def test_an_engine_killed_in_mid_stream_is_not_noticed(forms: Forms) -> None:
    body = asked(data_url(picture("green")), **LONG)
    undisturbed, other = run_job(forms.http, body), run_job(forms.http, asked(data_url(picture("yellow")), **LONG))
    assert other.text != undisturbed.text
    killed = run_job(forms.http, body, at_event=(3, forms.serving.engine(SEEING).kill))
    assert len(forms.http.get(f"/api/v1/jobs/{killed.job['id']}/placement").json()["attempts"]) == 2
    assert killed.text == killed.job["result"]["content"] == undisturbed.text
    usage, usual = killed.job["result"]["usage"], undisturbed.job["result"]["usage"]
    assert usage["completion_tokens"] == usual["completion_tokens"] == LONG["max_tokens"]
    assert usage["prompt_tokens"] == usual["prompt_tokens"]


class Told(NamedTuple):
    """What the stream of a job has told, and the job."""

    text: str
    job: dict[str, Any]


def run_job(http: httpx.Client, body: dict[str, Any], at_event: tuple[int, Callable[[], None]] | None = None) -> Told:
    texts: list[str] = []
    with http.stream("POST", "/api/v1/jobs", json={**body, "stream": True}, timeout=300) as told:
        assert told.status_code == 200, told.read()
        for event in _events(told):
            texts.append(event["text"])
            if at_event is not None and len(texts) == at_event[0]:
                at_event[1]()
    return Told("".join(texts), http.get(f"/api/v1/jobs/{told.headers['X-Job-Id']}").json())


def answer(http: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    response = http.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    told: dict[str, Any] = response.json()
    return told


def streamed(http: httpx.Client, body: dict[str, Any]) -> tuple[dict[int, str], dict[int, str], dict[str, int]]:
    """The text of each choice, why it ended, and the usage."""
    body = {**body, "stream": True, "stream_options": {"include_usage": True}}
    with http.stream("POST", "/v1/chat/completions", json=body) as told:
        assert told.status_code == 200, told.read()
        *chunks, last = _events(told)
    texts: dict[int, str] = {}
    reasons: dict[int, str] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            index = choice["index"]
            texts[index] = texts.get(index, "") + (choice["delta"].get("content") or "")
            if choice["finish_reason"]:
                reasons[index] = choice["finish_reason"]
    return texts, reasons, _counts(last["usage"])


def _events(told: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in told.iter_lines():
        if line.startswith("data: ") and line != "data: [DONE]":
            yield json.loads(line.removeprefix("data: "))


def text_of(told: dict[str, Any]) -> str:
    return str(told["choices"][0]["message"]["content"])


def jobs(http: httpx.Client) -> list[str]:
    return [job["id"] for job in http.get("/api/v1/jobs?limit=100").json()["jobs"]]


def audio() -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(b"RIFF").decode(), "format": "wav"}}


def _choice(choice: dict[str, Any]) -> dict[str, Any]:
    """What both tell of a choice; log probabilities to a thousandth."""
    content = (choice.get("logprobs") or {}).get("content") or []
    logprobs = [(entry["token"], round(entry["logprob"], 3)) for entry in content]
    return {"text": choice["message"]["content"], "why": choice["finish_reason"], "logprobs": logprobs}


def _counts(usage: dict[str, Any]) -> dict[str, int]:
    return {name: usage[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}


def _holds(path: Path, *contents: bytes) -> bool:
    held = path.read_bytes()
    return any(content in held for content in contents)
