"""A real Prometheus that scrapes a running system, as the files in docs/observability have it."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from actors.machine.network import free_port
from tests.support.waiting import wait_until

FOLDER = Path(__file__).parents[2] / "docs/observability"
JOB = "infernet"
IS_INSTALLED = shutil.which("prometheus") is not None

_START_S = 30


class Prometheus:
    """Asks one by its HTTP API: https://prometheus.io/docs/prometheus/latest/querying/api/"""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=30)

    def close(self) -> None:
        self._http.close()

    def is_ready(self) -> bool:
        try:
            return self._http.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an expression comes to now. Fails where Prometheus refuses it."""
        answer = self._http.get("/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", (expression, answer.get("error"))
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def rules(self) -> list[dict[str, Any]]:
        """All rules, with how their last evaluation went."""
        groups = self._http.get("/api/v1/rules").json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def wait_for_scrapes(self, count: int, within_s: float) -> None:
        """Returns when the system has answered so many more scrapes."""
        answered = f'sum_over_time(up{{job="{JOB}"}}[1h])'
        before = self._number(answered)
        wait_until(lambda: self._number(answered) >= before + count, within_s, f"{count} scrapes")

    def _number(self, expression: str) -> float:
        return sum(float(each["value"][1]) for each in self.query(expression))


@contextmanager
def scraping(target: str, folder: Path) -> Iterator[Prometheus]:
    """A Prometheus that scrapes `target`, HOST:PORT, every second, and keeps what it has in `folder`."""
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(FOLDER / name) for name in config["rule_files"]]
    (job,) = config["scrape_configs"]
    assert job["job_name"] == JOB
    job["static_configs"] = [{"targets": [target]}]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port('127.0.0.1')}"
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
                "--log.level=warn",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    prometheus = Prometheus(f"http://{address}")
    try:
        wait_until(prometheus.is_ready, _START_S, "Prometheus")
        yield prometheus
    finally:
        prometheus.close()
        process.terminate()
        process.wait(_START_S)
