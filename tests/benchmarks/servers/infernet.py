"""This project, as its users start it."""

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import yaml

from cluster.keys import new_secret
from tests.benchmarks.dialects import ChatCompletions, Jobs
from tests.benchmarks.servers.base import Server, clean_environment

UNLIMITED = {
    "submissions_per_minute": 10_000_000,
    "submissions_per_hour": 100_000_000,
    "reads_per_minute": 10_000_000,
}
"""Limits that a benchmark does not meet."""


class Infernet(Server):
    """`infernet up`: ingress behind HAProxy, control plane and engines, with a new database and one admin key.

    Ready once every model has as many ready replicas as `models` says.
    """

    def __init__(self, folder: Path, models: Sequence[Mapping[str, Any]], ingress_replicas: int) -> None:
        super().__init__(folder)
        self.key = new_secret()
        self._models = models
        settings = {
            "server": {"port": self.port, "replicas": ingress_replicas},
            "limits": UNLIMITED,
            "models": [dict(model) for model in models],
        }
        self._config = folder / "infernet.yaml"
        self._config.write_text(yaml.safe_dump(settings))

    def dialect(self, model: str) -> Jobs:
        return Jobs(self.url, self.key, model)

    def chat_dialect(self, model: str) -> ChatCompletions:
        return ChatCompletions(self.url, model, self.key)

    def log_lines(self, part: str) -> list[str]:
        """The lines with this in what the system's actors have logged."""
        temp = self._mark()
        logs = [] if temp is None else (Path(temp) / "ray" / "session_latest" / "logs").glob("worker-*.err")
        return [line for log in logs for line in log.read_text(errors="replace").splitlines() if part in line]

    def _command(self) -> Sequence[str]:
        infernet = Path(sys.executable).with_name("infernet")
        return [str(infernet), "up", "--config", str(self._config), "--state", str(self.folder / "state")]

    def _environment(self) -> Mapping[str, str]:
        return clean_environment() | {"INFERNET_ADMIN_KEY": self.key}

    def _is_ready(self) -> bool:
        answer = httpx.get(
            f"{self.url}/api/v1/models", params={"all": "true"}, headers={"Authorization": f"Bearer {self.key}"}
        )
        if answer.status_code != 200:
            return False
        ready = {model["id"]: model["replicas"] for model in answer.json()["models"]}
        return all(ready[model["id"]] >= _least(model.get("replicas", 1)) for model in self._models)

    def _mark(self) -> str | None:
        """`infernet up` chooses it, and keeps it in a file while it runs."""
        try:
            return str(json.loads((self.folder / "state" / "run.json").read_text())["temp"])
        except FileNotFoundError:
            return None

    def _end(self) -> None:
        temp = self._mark()
        super()._end()
        if temp is not None:
            shutil.rmtree(temp, ignore_errors=True)


def _least(replicas: int | Mapping[str, Any]) -> int:
    """How many replicas there are before there is a job."""
    return replicas if isinstance(replicas, int) else int(replicas["min"])
