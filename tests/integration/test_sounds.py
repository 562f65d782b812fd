"""Sounds reach a model that hears, in each way that a message can bring them."""

import base64
from importlib.util import find_spec
from typing import Any

import httpx
import pytest

from tests.support.forms import HEARING, Forms

pytestmark = pytest.mark.skipif(
    find_spec("vllm") is None or find_spec("soundfile") is None, reason="vLLM, or what it reads sounds with, is missing"
)

SECOND = 25
"""So many tokens of a prompt is a second."""


@pytest.fixture
def http(forms: Forms) -> httpx.Client:
    return forms.http


def asked(part: dict[str, Any]) -> dict[str, Any]:
    content = [{"type": "text", "text": "What is this?"}, part]
    messages = [{"role": "user", "content": content}]
    return {"model": HEARING, "messages": messages, "temperature": 0, "max_tokens": 20, "ignore_eos": True}


def in_base64(sound: bytes) -> str:
    return base64.b64encode(sound).decode()


def brought(sound: bytes) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": in_base64(sound), "format": "wav"}}


def pointed_to(sound: bytes) -> dict[str, Any]:
    return {"type": "audio_url", "audio_url": {"url": f"data:audio/wav;base64,{in_base64(sound)}"}}


def answer(http: httpx.Client, part: dict[str, Any]) -> tuple[str, int]:
    """The text, and the prompt's tokens."""
    response = http.post("/v1/chat/completions", json=asked(part))
    assert response.status_code == 200, response.text
    told = response.json()
    return told["choices"][0]["message"]["content"], told["usage"]["prompt_tokens"]


def test_what_is_heard_is_answered_for_and_counted(http: httpx.Client) -> None:
    from tests.support.hearing_model import tone

    low, high, longer = tone(440, 1), tone(880, 1), tone(440, 2)
    assert answer(http, brought(low)) == answer(http, pointed_to(low)) == answer(http, brought(low))
    assert answer(http, brought(high))[0] != answer(http, brought(low))[0]
    assert answer(http, brought(longer))[1] == answer(http, brought(low))[1] + SECOND


@pytest.mark.parametrize("sound", [b"no sound", b"RIFF"])
def test_what_is_no_sound_is_refused_before_there_is_a_job(sound: bytes, http: httpx.Client) -> None:
    before = http.get("/api/v1/jobs").json()
    response = http.post("/v1/chat/completions", json=asked(brought(sound)))
    assert response.status_code == 400, response.text
    assert http.get("/api/v1/jobs").json() == before


def test_a_picture_is_not_for_it(http: httpx.Client) -> None:
    from tests.support.pictures import data_url, picture

    response = http.post("/v1/chat/completions", json=asked({"type": "image_url", "image_url": data_url(picture())}))
    assert response.status_code == 400
    assert "image" in response.json()["error"]["message"]
