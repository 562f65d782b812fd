"""Pictures through the whole system: HTTP, Ray, and vLLM on a tiny model that sees; engines that are killed, too."""

import base64
import json
from collections.abc import Iterator
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.support.seeing_model import PICTURE_TOKENS, seeing_model
from tests.support.serving import Serving

pytestmark = pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")

MODEL = "seeing"
QUESTION = "What is the capital of France?"


def picture(colour: str, width: int = 40, height: int = 30) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


def data_url(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


def asked(*urls: str, **fields: Any) -> dict[str, Any]:
    pictures = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    content = [{"type": "text", "text": QUESTION}, *pictures]
    return {
        "model": MODEL,
        "messages": [{"role": "user", "content": content}],
        "temperature": 0,
        "max_tokens": 30,
        **fields,
    }


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("pictures")
    model = {
        "id": MODEL,
        "source": str(seeing_model(folder / "model")),
        "gpus": 0,
        "cpus": 0.5,
        "engine": {"max_num_seqs": 4, "max_model_len": 2048},
    }
    system = Serving(folder / "system", {"models": [model]})
    try:
        system.wait_until_ready(MODEL)
        yield system
        assert system.stop() == 0
    finally:
        system.end()


@pytest.fixture(scope="module")
def http(system: Serving) -> Iterator[httpx.Client]:
    with system.http() as http:
        yield http


def answer(http: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    response = http.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    told: dict[str, Any] = response.json()
    return told


def text_of(told: dict[str, Any]) -> str:
    return str(told["choices"][0]["message"]["content"])


def test_what_is_seen_is_answered_for(http: httpx.Client) -> None:
    plain = answer(http, asked())
    red, blue, again = (answer(http, asked(data_url(picture(colour)))) for colour in ("red", "blue", "red"))
    assert len({text_of(plain), text_of(red), text_of(blue)}) == 3
    assert text_of(again) == text_of(red)
    assert red["usage"]["prompt_tokens"] == plain["usage"]["prompt_tokens"] + PICTURE_TOKENS
