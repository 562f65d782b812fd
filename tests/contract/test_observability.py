"""What operators put around a system: a real Prometheus scrapes it, and takes rules and dashboard as they are."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.contract.catalogue import Catalogue
from tests.contract.client import Api
from tests.contract.given import Target, question
from tests.support.prometheus import FOLDER, IS_INSTALLED, Prometheus, scraping

pytestmark = pytest.mark.skipif(not IS_INSTALLED, reason="Prometheus is not installed")

DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
# What a system without GPUs, or without a budget that was spent, has nothing to tell of.
MAY_BE_EMPTY = ("infernet_gpu_", "infernet_budget_settled")
OF_VLLM = "vllm:"


@pytest.fixture(scope="module")
def prometheus(target: Target, api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One that has seen jobs end, and a stream resumed."""
    url = httpx.URL(target.url)
    if url.scheme != "http":
        pytest.skip("the configuration scrapes by http")
    with scraping(f"{url.host}:{url.port}", tmp_path_factory.mktemp("prometheus")) as prometheus:
        prometheus.wait_for_scrapes(2, within_s=30)
        yield prometheus


@pytest.fixture(scope="module")
def used(prometheus: Prometheus, api: Api, catalogue: Catalogue) -> Prometheus:
    if catalogue.has("capitals"):
        api.run(question(catalogue.need("capitals")))  # its engine has figures to tell once it is there
    job = api.run(question(catalogue.need("sim:fast")))
    api.run(question(catalogue.need("sim:failing")))
    stream = api.request("GET", f"/api/v1/jobs/{job['id']}/stream", params={"after": 1})
    assert stream.status_code == 200
    prometheus.wait_for_scrapes(8, within_s=60)  # what replicas count is handed in within five seconds
    return prometheus


def asked(expression: str) -> str:
    """An expression of the dashboard as Grafana asks it."""
    return expression.replace("$__rate_interval", "1m").replace("$model", ".*")


@pytest.mark.parametrize(("title", "expression"), QUERIES)
def test_every_query_of_the_dashboard_tells_something(
    used: Prometheus, anonymous: Api, title: str, expression: str
) -> None:
    told = used.query(asked(expression))
    if any(name in expression for name in MAY_BE_EMPTY):
        return
    if OF_VLLM in expression and OF_VLLM not in anonymous.request("GET", "/metrics").text:
        pytest.skip("no engine of vLLM's runs here")
    assert told, title


def test_every_rule_is_loaded_and_evaluated(used: Prometheus) -> None:
    rules = used.rules()
    assert len(rules) == (FOLDER / "alerts.yml").read_text().count("- alert:")
    assert {(rule["name"], rule["health"]) for rule in rules if rule["health"] != "ok"} == set()
    assert not [rule.get("lastError") for rule in rules if rule.get("lastError")]


def test_a_system_that_is_well_fires_no_critical_alert(used: Prometheus) -> None:
    firing = [rule["name"] for rule in used.rules() if rule["state"] == "firing"]
    critical = {rule["name"] for rule in used.rules() if rule["labels"]["severity"] == "critical"}
    assert not critical.intersection(firing)
