"""What operators look at: /healthz, /readyz, /health, /ping, /metrics, /docs."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.contract.client import Api
from tests.contract.given import question


def metrics(anonymous: Api) -> dict[tuple[str, tuple[str, ...]], float]:
    response = anonymous.request("GET", "/metrics")
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain")
    families = text_string_to_metric_families(response.text)
    return {
        (sample.name, tuple(sorted(sample.labels.values()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_process_is_up(anonymous: Api) -> None:
    assert anonymous.request("GET", "/healthz").status_code == 200


def test_a_job_can_be_accepted(anonymous: Api, fast: str) -> None:
    assert anonymous.request("GET", "/readyz").status_code == 200


@pytest.mark.parametrize(("method", "path"), [("GET", "/health"), ("GET", "/ping"), ("POST", "/ping")])
def test_who_asks_as_one_asks_vllm_s_server_is_answered_so(anonymous: Api, fast: str, method: str, path: str) -> None:
    answer = anonymous.request(method, path)
    assert (answer.status_code, answer.content) == (200, b"")


def test_metrics_count_what_ends(anonymous: Api, api: Api, fast: str) -> None:
    before = metrics(anonymous)
    usage = api.run(question(fast))["result"]["usage"]
    after = metrics(anonymous)
    grown = {
        key: value - before.get(key, 0) for key, value in after.items() if fast in key[1] and key[0][-6:] == "_total"
    }
    assert 1 in grown.values()
    assert usage["completion_tokens"] in grown.values()


def test_metrics_name_no_key_and_no_account(anonymous: Api, api: Api, account: str) -> None:
    text = anonymous.request("GET", "/metrics").text
    assert account not in text
    assert not re.search(r"inft_|key_[0-9a-f]|job_[0-9a-f]", text)


def test_the_docs_are_a_page(anonymous: Api) -> None:
    response = anonymous.request("GET", "/docs")
    assert response.headers["Content-Type"].startswith("text/html")
    assert "/openapi.json" in response.text
