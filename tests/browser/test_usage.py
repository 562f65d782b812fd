"""Usage: what is shown is the sum of the jobs, by whatever it is grouped, and the table can be had as a file."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, Locator, Page, expect

from cluster.catalogue import Price
from tests.support.own_system import OwnSystem, own_system
from tests.support.plain_system import SIM

DEAR = replace(SIM, id="dear", aliases=(), price=Price(prompt=2.0, completion=10.0))


@pytest.fixture(scope="module")
def system(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnSystem]:
    """One with a model that costs something, and jobs of two accounts."""
    with own_system(tmp_path_factory.mktemp("system"), engines=2, nodes=2, models=(SIM, DEAR)) as system:
        yield system


@pytest.fixture(scope="module")
def jobs(system: OwnSystem) -> list[dict[str, Any]]:
    """Jobs that have ended."""
    with httpx.Client(base_url=f"{system.url}/api/v1", headers=bearer(system.key)) as api:
        account = api.post("/accounts", json={"name": "search team"}).json()["id"]
        made = [api.post("/keys", json={"name": f"key {number}", "account": account}).json() for number in range(22)]
        secrets = [system.key, *(each["key"] for each in made)]
        return [
            ended(api, secret, "sim" if number % 3 else "dear", 5 + number) for number, secret in enumerate(secrets)
        ]


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def ended(api: httpx.Client, secret: str, model: str, max_tokens: int) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": max_tokens}
    job_id = api.post("/jobs", json=body, headers=bearer(secret)).json()["id"]
    job: dict[str, Any] = api.get(f"/jobs/{job_id}?wait=10", headers=bearer(secret)).json()
    assert job["status"] == "completed"
    return job


def cells(page: Page, row: str) -> list[str]:
    return (
        page.get_by_role("row")
        .filter(has=page.get_by_role("rowheader", name=row))
        .get_by_role("cell")
        .all_inner_texts()
    )


def rows(page: Page) -> Locator:
    """But for the total."""
    return page.get_by_role("region", name="Sums").locator("tbody tr")


def sums(jobs: list[dict[str, Any]]) -> list[str]:
    """As the cells of a row tell them; of models that cost nothing or what `dear` does."""
    usages = [job["result"]["usage"] for job in jobs]
    prompts, answers = (sum(usage[f"{kind}_tokens"] for usage in usages) for kind in ("prompt", "completion"))
    dear = [job["result"]["usage"] for job in jobs if job["model"] == "dear"]
    cost = sum(2 * usage["prompt_tokens"] + 10 * usage["completion_tokens"] for usage in dear)
    written = f"{cost / 1_000_000:.6f}".rstrip("0")
    return [str(len(jobs)), str(prompts), str(answers), written if cost else "0.00"]


def test_sums_are_those_of_the_jobs(page: Page, jobs: list[dict[str, Any]]) -> None:
    page.get_by_role("link", name="Usage").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Usage")
    assert cells(page, "Total") == sums(jobs)
    for model in ("sim", "dear"):
        assert cells(page, model) == sums([job for job in jobs if job["model"] == model])
    expect(page.locator("figure canvas")).to_have_count(2)

    page.get_by_label("By").select_option("account")
    page.get_by_role("button", name="Show").click()
    assert cells(page, "search team") == sums(jobs[1:])
    page.get_by_label("By").select_option("day")
    page.get_by_role("button", name="Show").click()
    expect(rows(page)).to_have_count(1)
    page.get_by_label("Account").select_option("search team")
    page.get_by_role("button", name="Show").click()
    assert cells(page, "Total") == sums(jobs[1:])


def test_the_total_is_of_all_pages_and_so_is_the_file(page: Page, jobs: list[dict[str, Any]]) -> None:
    page.goto("/usage?group_by=key&period=7")
    first = rows(page).all_inner_texts()
    assert cells(page, "Total") == sums(jobs)
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_role("link", name="First")).to_be_visible()
    second = rows(page).all_inner_texts()
    assert len({*first, *second}) == len(jobs) == len(first) + len(second)
    assert cells(page, "Total") == sums(jobs)
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download CSV").click()
    table = list(csv.DictReader(io.StringIO(downloading.value.path().read_text())))
    assert sum(int(row["completion_tokens"]) for row in table) == int(sums(jobs)[2])


def test_days_that_are_chosen_are_the_period(page: Page, jobs: list[dict[str, Any]]) -> None:
    page.goto("/usage")
    page.get_by_label("From").fill("2020-01-01")
    page.get_by_label("To", exact=True).fill("2020-01-02")
    expect(page.get_by_label("Period")).to_have_value("days")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("No job ended in this time")).to_be_visible()
