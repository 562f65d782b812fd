"""LoRA adapters through the whole system: Ray, HTTP and vLLM; and one that does not load, which says so."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.support.serving import START_S, Serving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")

PLAIN = "Paris is the capital of France."
GERMAN = "Die Hauptstadt von Frankreich ist Paris."
SOURCE = "builtin:capitals-german"


def capitals(name: str, adapter: str, source: str) -> dict[str, Any]:
    adapters = [{"id": adapter, "source": source, "price": {"prompt": 0, "completion": 3}}]
    engine = {"max_model_len": 512, "max_num_seqs": 8}
    return {"id": name, "source": "builtin:capitals", "gpus": 0, "cpus": 0.5, "engine": engine, "adapters": adapters}


def damaged(folder: Path) -> Path:
    """An adapter that looks like one until it is read."""
    adapter = folder / "damaged"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    (adapter / "adapter_model.safetensors").touch()
    return adapter


def test_adapters_answer_and_what_is_none_fails_its_model(tmp_path: Path) -> None:
    broken = capitals("broken", "broken:none", str(damaged(tmp_path)))
    models = [capitals("capitals", "capitals:german", SOURCE), broken]
    system = Serving(tmp_path / "system", {"models": models})
    try:
        system.wait_until_ready("capitals")
        with system.http() as http:
            texts = {name: _answer(http, name) for name in ("capitals", "capitals:german")}
            assert texts == {"capitals": PLAIN, "capitals:german": GERMAN}
            assert {name: _answer(http, name) for name in texts} == texts
            listed = [each for each in http.get("/v1/models").json()["data"] if each["parent"] == "capitals"]
            assert [(each["id"], each["root"]) for each in listed] == [("capitals:german", SOURCE)]
            used = {each["model"]: each for each in http.get("/api/v1/usage?group_by=model").json()["usage"]}
            assert used["capitals:german"]["jobs"] == 2
            assert used["capitals:german"]["cost"] == 3 * used["capitals:german"]["completion_tokens"]
            wait_until(lambda: "adapter" in _broken(http), START_S, "why the other one failed")
            assert _broken(http) == "adapter broken:none: its adapter_config.json says no rank r"
        assert system.stop() == 0
    finally:
        system.end()


def _answer(http: Any, model: str) -> str:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "max_tokens": 40,
        "temperature": 0,
    }
    answer = http.post("/v1/chat/completions", json=body).raise_for_status().json()
    assert answer["model"] == model
    return str(answer["choices"][0]["message"]["content"])


def _broken(http: Any) -> str:
    models = http.get("/api/v1/models?all=true").json()["models"]
    return str(next(each for each in models if each["id"] == "broken").get("state_message", ""))
