"""Jobs: looked for by an address that can be passed on, read as they are written, cancelled, and taken home."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, Page, expect

from cluster.catalogue import Price
from tests.browser.conftest import sign_in
from tests.support.own_system import OwnSystem, own_system
from tests.support.plain_system import SIM
from tests.support.proxy import Proxy

PRICED = replace(SIM, price=Price(1.0, 2.0))
SLOW = replace(SIM, id="slow", aliases=(), engine={**SIM.engine, "token_s": 0.02, "output_tokens": 10_000})
PROMPT = "What is <script>alert(1)</script>?"


@pytest.fixture(scope="module")
def system(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnSystem]:
    """One that has a model, too, whose answers take long enough to be looked at."""
    with own_system(tmp_path_factory.mktemp("system"), engines=2, nodes=2, models=(PRICED, SLOW)) as system:
        yield system


@pytest.fixture
def api(system: OwnSystem) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{system.url}/api/v1", headers={"Authorization": f"Bearer {system.key}"}) as api:
        yield api


def submit(api: httpx.Client, **fields: Any) -> str:
    body = {"model": "sim", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 20} | fields
    response = api.post("/jobs", json=body)
    assert response.status_code == 200, response.text
    return str(response.json()["id"])


def ended(api: httpx.Client, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = api.get(f"/jobs/{job_id}?wait=20", timeout=30).json()
    return job


def test_the_text_comes_live_goes_on_after_a_break_and_becomes_the_result(
    browser: Browser, system: OwnSystem, api: httpx.Client
) -> None:
    with Proxy(httpx.URL(system.url).port or 0) as network:
        context = browser.new_context(base_url=f"http://127.0.0.1:{network.port}")
        page = context.new_page()
        sign_in(page, system.key)
        page.get_by_role("link", name="Jobs").click()
        job_id = submit(api, model="slow", max_tokens=250)
        page.get_by_role("link", name=job_id).click()
        words = page.locator("#answer .words")
        expect(words).not_to_be_empty()
        expect(page.get_by_text("Live")).to_be_visible()
        network.cut()
        expect(page.get_by_text("Live; connections that broke and were mended: 1")).to_be_visible()
        job = ended(api, job_id)
        expect(page.get_by_role("link", name="Download JSON")).to_be_visible()
        assert words.text_content() == job["result"]["content"]
        expect(page.locator("#now")).to_contain_text("completed")
        expect(page.get_by_text("Live")).to_have_count(0)
        context.close()


def test_the_end_and_the_text_come_by_polls_too(page: Page, api: httpx.Client) -> None:
    """Nothing is streamed: the script for it is not there."""
    page.route("**/job.js*", lambda route: route.fulfill(body="", content_type="text/javascript"))
    job_id = submit(api, model="slow", max_tokens=60)
    page.goto(f"/jobs/{job_id}")
    job = ended(api, job_id)
    expect(page.locator("#answer .words")).to_have_text(job["result"]["content"])


def test_a_job_is_cancelled_once_that_has_been_asked_again(page: Page, api: httpx.Client) -> None:
    job_id = submit(api, model="slow", max_tokens=5000)
    page.goto(f"/jobs/{job_id}")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Keep it").click()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel job").click()
    expect(page.locator("#now")).to_contain_text("Submit it again if it is still wanted")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    assert ended(api, job_id)["error"] == "cancelled"


def test_a_page_tells_what_was_asked_what_it_cost_and_why_it_ran_there(page: Page, api: httpx.Client) -> None:
    job_id = submit(api, metadata={"trace": "<b>é</b>"})
    ended(api, job_id)
    page.goto(f"/jobs/{job_id}")
    expect(page.get_by_text(PROMPT)).to_be_visible()
    expect(page.get_by_text("<b>é</b>")).to_be_visible()
    prompt_tokens = ended(api, job_id)["result"]["usage"]["prompt_tokens"]
    expect(page.locator("#now")).to_contain_text(f"0.{prompt_tokens + 2 * 20:06d}")
    expect(page.get_by_role("img", name="The phases below, to scale")).to_be_visible()
    phases = page.get_by_role("region", name="Phases")
    for phase in ("Queued", "Prefill", "Decode"):
        expect(phases).to_contain_text(phase)
    expect(page.get_by_role("region", name="Engines considered")).to_contain_text("chosen")


def test_prompt_and_result_are_files(page: Page, api: httpx.Client, tmp_path: Path) -> None:
    job_id = submit(api)
    job = ended(api, job_id)
    page.goto(f"/jobs/{job_id}")
    files = {}
    for name in ("Download text", "Download JSON", "Download the prompt"):
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        files[download.value.suggested_filename] = Path(download.value.path()).read_text()
    assert files[f"{job_id}.txt"] == job["result"]["content"]
    assert httpx.Response(200, text=files[f"{job_id}.json"]).json() == job
    assert PROMPT in files[f"{job_id}-prompt.json"]


def test_what_is_looked_for_is_in_the_address_and_pages_follow_each_other(page: Page, api: httpx.Client) -> None:
    failed = submit(api, model="slow", max_tokens=5000)
    api.post(f"/jobs/{failed}/cancel")
    job_ids = [submit(api, max_tokens=2) for _ in range(25)]
    for job_id in job_ids:
        ended(api, job_id)
    page.goto("/jobs")
    page.get_by_label("Status").select_option("failed")
    page.get_by_label("Model").fill("slow")
    page.get_by_role("button", name="Filter").click()
    expect(page).to_have_url("/jobs?status=failed&model=slow")
    expect(page.get_by_role("link", name=failed)).to_be_visible()
    expect(page.get_by_role("link", name=job_ids[-1])).to_have_count(0)
    page.get_by_role("link", name="Clear").click()
    seen = page.locator("tbody th a").all_inner_texts()
    assert seen[0] == job_ids[-1]
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("link", name=job_ids[0])).to_be_visible()
    assert not set(page.locator("tbody th a").all_inner_texts()) & set(seen)
    page.get_by_role("link", name="Newest").click()
    expect(page.get_by_role("link", name=job_ids[-1])).to_be_visible()


def test_the_list_shows_what_has_just_come(page: Page, api: httpx.Client) -> None:
    page.goto("/jobs?model=sim")
    job_id = submit(api)
    expect(page.get_by_role("link", name=job_id)).to_be_visible()


def test_a_question_can_be_asked_again(page: Page, api: httpx.Client) -> None:
    messages = [{"role": "system", "content": "\n Be brief."}, {"role": "user", "content": PROMPT}]
    job_id = submit(api, model="slow", messages=messages, max_tokens=7, temperature=0.25, seed=42)
    page.goto(f"/jobs/{job_id}")
    page.get_by_role("link", name="Ask again").click()
    expect(page.get_by_label("Model")).to_have_value("slow")
    expect(page.get_by_label("Message")).to_have_value(PROMPT)
    expect(page.get_by_label("System")).to_have_value("\n Be brief.")
    for label, value in (("Temperature", "0.25"), ("Max tokens", "7"), ("Seed", "42")):
        expect(page.get_by_label(label, exact=True)).to_have_value(value)
