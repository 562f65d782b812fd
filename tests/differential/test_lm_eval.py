"""lm-eval, unchanged, scores a model served by this system exactly as it scores it served by vLLM's own server.

Its tasks are in `lm_eval`: capitals of countries, some of which the built-in model does not know. `make clients` runs
it.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from actors.backends.builtin import resolve_source
from tests.contract.clients.running import python_of
from tests.differential import servers
from tests.differential.servers import WRITER, Place

TASKS = Path(__file__).parent / "lm_eval"
_LONGEST_S = 300

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Evaluation:
    """The metrics of each task, and what the model said to each of its questions."""

    metrics: dict[str, Any]
    samples: dict[str, list[Any]]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Place]]:
    """vLLM's own server, and this system."""
    python_of("lm-eval")
    folder = tmp_path_factory.mktemp("servers")
    with servers.vllms_server(folder, WRITER) as theirs, servers.our_server(folder, WRITER) as ours:
        yield Place(theirs.url), Place(ours.url, ours.key)


def evaluate(place: Place, model: str, path: str, tasks: list[str], folder: Path) -> Evaluation:
    """What lm-eval finds. It reads nothing but files of this machine."""
    tokenizer = resolve_source(WRITER.source)
    told = {
        "model": WRITER.model,
        "base_url": f"{place.url}{path}",
        "tokenizer": tokenizer,
        "tokenizer_backend": "huggingface",
        "max_length": 1024,
        "num_concurrent": 4,
    }
    done = subprocess.run(
        [
            *(python_of("lm-eval"), "-m", "lm_eval", "--model", model),
            *("--model_args", ",".join(f"{name}={value}" for name, value in told.items())),
            *("--tasks", ",".join(tasks), "--include_path", TASKS),
            *("--apply_chat_template", "--log_samples", "--output_path", folder),
        ],
        cwd=TASKS,
        env={
            **os.environ,
            "OPENAI_API_KEY": place.key or "none",
            "HF_HUB_OFFLINE": "1",
            "HF_HOME": str(folder / "hub"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_LONGEST_S,
    )
    assert done.returncode == 0, done.stdout
    (results,) = folder.glob("*/results_*.json")
    return Evaluation(
        json.loads(results.read_text())["results"],
        {task: _responses(*folder.glob(f"*/samples_{task}_*.jsonl")) for task in tasks},
    )


def _offline(folder: Path) -> dict[str, str]:
    return {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub")}


def _responses(samples: Path) -> list[Any]:
    return [json.loads(line)["resps"] for line in samples.read_text().splitlines()]


def test_likelihoods_and_answers_score_alike(places: tuple[Place, Place], tmp_path: Path) -> None:
    tasks = ["capitals_choice", "capitals_answer"]
    theirs, ours = (
        evaluate(place, "local-completions", "/v1/completions", tasks, tmp_path / str(number))
        for number, place in enumerate(places)
    )
    print(ours.metrics)
    assert ours.metrics == theirs.metrics
    assert ours.metrics["capitals_choice"]["acc,none"] > 0.5
    assert ours.samples["capitals_answer"] == theirs.samples["capitals_answer"]
    for said, wanted in zip(ours.samples["capitals_choice"], theirs.samples["capitals_choice"], strict=True):
        for ((likelihood, greedy),), ((likelihood_wanted, greedy_wanted),) in zip(said, wanted, strict=True):
            # The last digits depend on what else is in a batch.
            assert float(likelihood) == pytest.approx(float(likelihood_wanted), abs=1e-3)
            assert greedy == greedy_wanted


def test_dialogues_score_alike(places: tuple[Place, Place], tmp_path: Path) -> None:
    theirs, ours = (
        evaluate(place, "local-chat-completions", "/v1/chat/completions", ["capitals_answer"], tmp_path / str(number))
        for number, place in enumerate(places)
    )
    print(ours.metrics)
    assert ours == theirs
    assert ours.metrics["capitals_answer"]["exact_match,none"] > 0.5
