"""Pages while something is away: they say so, of when is what they show, and they come back by themselves."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, Page, expect

from tests.browser.axe import violations
from tests.browser.conftest import sign_in
from tests.support.chromium import DESKTOP, PHONE
from tests.support.own_system import OwnSystem, own_system
from tests.support.plain_system import QUICK, SIM

SLOW = replace(SIM, engine={**SIM.engine, "token_s": 0.05, "output_tokens": 10_000})


@pytest.fixture(scope="module")
def system(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnSystem]:
    quick = replace(QUICK, answer_s=0.5, health_s=0.3)
    with own_system(tmp_path_factory.mktemp("system"), models=(SLOW,), timing=quick) as system:
        yield system


@pytest.fixture
def page(browser: Browser, system: OwnSystem) -> Iterator[Page]:
    context = browser.new_context(base_url=system.url, viewport=DESKTOP)
    page = context.new_page()
    sign_in(page, system.key)
    yield page
    context.close()


def test_a_list_says_of_when_it_is_and_a_page_that_cannot_be_shown_comes_back(page: Page, system: OwnSystem) -> None:
    page.goto("/nodes?page=1")
    row = page.get_by_role("row", name="online")
    expect(row).to_be_visible()
    system.do(system.plain.lose_scheduler())
    stale = page.locator("#stale")
    expect(stale).to_contain_text("What is shown is of")
    expect(row).to_be_visible()
    assert violations(page) == []
    page.reload()
    expect(page.get_by_text("The scheduler does not answer")).to_be_visible()
    expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
    assert violations(page) == []
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    system.do(system.plain.start_scheduler())
    expect(page.get_by_role("heading", level=1)).to_have_text("Nodes")
    assert page.url.endswith("/nodes?page=1")
    expect(stale).to_be_hidden()


def test_a_running_jobs_text_waits_and_goes_on(page: Page, system: OwnSystem) -> None:
    with httpx.Client(base_url=f"{system.url}/api/v1", headers={"Authorization": f"Bearer {system.key}"}) as api:
        body = {"model": "sim", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 900}
        job = api.post("/jobs", json=body).json()["id"]
        page.goto(f"/jobs/{job}")
        state = page.locator("#stream-state")
        expect(state).to_have_text("Live")
        system.do(system.plain.lose_journal())
        expect(state).to_contain_text("Nothing new can be told at the moment")
        page.reload()
        expect(page.get_by_text("The journal does not answer at the moment")).to_be_visible()
        expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
        assert violations(page) == []
        system.do(system.plain.start_journal())
        expect(state).to_have_text("Live")
        expect(page.locator("#answer .words")).not_to_be_empty()
        expect(page.get_by_text("does not answer")).to_be_hidden()
        assert api.post(f"/jobs/{job}/cancel").status_code == 200


def test_plots_say_that_they_load_and_that_they_cannot_be_told(page: Page, system: OwnSystem) -> None:
    page.route("**/overview/plots", lambda route: route.fulfill(status=503, body=""))
    page.goto("/")
    expect(page.get_by_text("This cannot be told now; it is tried again").first).to_be_visible()
    page.unroute("**/overview/plots")


def test_where_the_server_cannot_be_reached_what_was_shown_stays(page: Page, tmp_path: Path) -> None:
    page.goto("/models")
    expect(page.get_by_role("row", name="sim")).to_be_visible()
    page.context.set_offline(True)
    expect(page.locator("#stale")).to_contain_text("The server cannot be reached")
    expect(page.get_by_role("row", name="sim")).to_be_visible()
    page.context.set_offline(False)
    expect(page.locator("#stale")).to_be_hidden()


def test_who_waits_is_told_that_it_is_under_way_and_what_came_of_it(page: Page, system: OwnSystem) -> None:
    page.goto("/nodes")
    drain = page.get_by_role("button", name="Drain")
    expect(drain).to_be_visible()
    waiting = []
    page.route("**/drain", lambda route: waiting.append(route))
    drain.click()
    told = page.locator("#announcement")
    expect(told).to_have_text("Working")
    waiting[0].fulfill(status=503, body='<p role="alert">The control plane does not answer; try again</p>')
    expect(told).to_have_text("The control plane does not answer; try again")
    page.unroute("**/drain")
