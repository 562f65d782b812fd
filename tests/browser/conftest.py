"""A browser, a system of its own that it looks at, and pages that somebody has signed in to."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.chromium import DESKTOP, chromium
from tests.support.own_system import OwnSystem, own_system

expect.set_options(timeout=10_000)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """It ends with this folder's tests: while it runs, others in the same process can run no event loop."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="package")
def system(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnSystem]:
    """One system for the tests that disturb nobody. It begins only where there is a browser."""
    with own_system(tmp_path_factory.mktemp("system"), nodes=2) as system:
        yield system


@pytest.fixture
def context(browser: Browser, system: OwnSystem) -> Iterator[BrowserContext]:
    """Nobody has signed in. Whatever a page complains of fails the test."""
    complaints: list[str] = []
    context = browser.new_context(base_url=system.url, viewport=DESKTOP)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    yield context
    context.close()
    assert [each for each in complaints if "status of 4" not in each] == []


@pytest.fixture
def page(context: BrowserContext, system: OwnSystem) -> Page:
    """An admin has signed in."""
    page = context.new_page()
    sign_in(page, system.key)
    return page


def sign_in(page: Page, key: str) -> None:
    page.goto("/signin")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
