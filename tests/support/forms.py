"""A system whose models run on vLLM in all their forms: one sees, one hears, one has an adapter, one a bad one."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from tests.support.serving import Serving

ENGINE = {"max_num_seqs": 4, "max_model_len": 2048}
PLAIN, SEEING, HEARING, BROKEN = "capitals", "seeing", "hearing", "broken"
GERMAN, GERMAN_SOURCE = "capitals:german", "builtin:capitals-german"


class Forms(NamedTuple):
    """The system, an admin's client of it, and where the model that sees is."""

    serving: Serving
    http: httpx.Client
    seeing: Path


@contextmanager
def system_of_forms(folder: Path) -> Iterator[Forms]:
    """It runs, and its models are ready, but for the one whose adapter is none. It stops cleanly at the end."""
    from tests.support.seeing_model import seeing_model

    seeing = seeing_model(folder / SEEING)
    models = [
        _entry(PLAIN, adapters=[{"id": GERMAN, "source": GERMAN_SOURCE, "price": {"prompt": 0, "completion": 3}}]),
        _entry(BROKEN, adapters=[{"id": "broken:none", "source": str(_damaged_adapter(folder))}]),
        _entry(SEEING, str(seeing)),
        *_hearing(folder),
    ]
    serving = Serving(folder / "system", {"models": models})
    try:
        serving.wait_until_ready(*(model["id"] for model in models if model["id"] != BROKEN))
        with serving.http() as http:
            yield Forms(serving, http, seeing)
        assert serving.stop() == 0
    finally:
        serving.end()


def _hearing(folder: Path) -> Iterator[dict[str, Any]]:
    """The model that hears, where there is what vLLM reads sounds with."""
    if find_spec("soundfile") is not None:
        from tests.support.hearing_model import hearing_model

        yield _entry(HEARING, str(hearing_model(folder / HEARING)))


def _entry(name: str, source: str = "builtin:capitals", **more: Any) -> dict[str, Any]:
    return {"id": name, "source": source, "gpus": 0, "cpus": 0.4, "engine": ENGINE, **more}


def _damaged_adapter(folder: Path) -> Path:
    """One that looks like an adapter until it is read."""
    adapter = folder / "damaged"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    (adapter / "adapter_model.safetensors").touch()
    return adapter
