"""What holds for every page: for who cannot see or point, on a telephone, by day and by night, and by its weight."""

from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, Request, ViewportSize, expect

from tests.browser.axe import violations
from tests.browser.conftest import sign_in
from tests.browser.every_page import addresses
from tests.support.chromium import DESKTOP, PHONE
from tests.support.own_system import OwnSystem

MOST_BYTES = 300_000
MOST_BYTES_OF_A_POLL = 10_000
LONGER_THAN_ANY_POLL_MS = 60_000


@pytest.mark.parametrize(("scheme", "size"), [("light", DESKTOP), ("dark", DESKTOP), ("light", PHONE)])
def test_axe_finds_nothing(
    browser: Browser, system: OwnSystem, scheme: Literal["light", "dark"], size: ViewportSize
) -> None:
    context = browser.new_context(base_url=system.url, viewport=size, color_scheme=scheme)
    page = context.new_page()
    found = {}
    page.goto("/signin")
    found["/signin"] = violations(page)
    sign_in(page, system.key)
    for address in addresses(system):
        page.goto(address)
        found[address] = violations(page)
    context.close()
    assert {address: told for address, told in found.items() if told} == {}


def test_no_page_is_wider_than_a_telephone(browser: Browser, system: OwnSystem) -> None:
    context = browser.new_context(base_url=system.url, viewport=PHONE, has_touch=True, is_mobile=True)
    page = context.new_page()
    sign_in(page, system.key)
    widths = {}
    for address in addresses(system):
        page.goto(address)
        widths[address] = page.evaluate("document.documentElement.scrollWidth")
    context.close()
    assert {address: width for address, width in widths.items() if width > PHONE["width"]} == {}


def test_no_question_is_cut_off(page: Page, system: OwnSystem) -> None:
    seen = 0
    for address in addresses(system):
        page.goto(address)
        dialogs: list[tuple[str, str, bool]] = page.evaluate(
            """[...document.querySelectorAll("dialog")].map((each) => {
                 each.showModal();
                 const told = [each.id, getComputedStyle(each).textAlign, each.scrollWidth <= each.clientWidth];
                 each.close();
                 return told;
               })"""
        )
        assert all((align, fits) == ("left", True) for _, align, fits in dialogs), (address, dialogs)
        seen += len(dialogs)
    assert seen > 2, "models, keys and webhooks ask before they do what cannot be undone"


def test_no_page_is_heavy_or_asks_another_host(browser: Browser, system: OwnSystem) -> None:
    for address in addresses(system):
        sizes = _sizes(browser, system, address)
        assert all(request.url.startswith(system.url) for request in sizes)
        assert sum(sizes.values()) <= MOST_BYTES, {request.url: size for request, size in sizes.items()}
        polls = {request.url: size for request, size in sizes.items() if _is_poll(request)}
        assert max(polls.values(), default=0) <= MOST_BYTES_OF_A_POLL, polls


def test_every_page_can_be_used_by_keyboard_alone(page: Page, system: OwnSystem) -> None:
    for address in addresses(system):
        page.goto(address)
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        unreachable = page.evaluate(
            """[...document.querySelectorAll("main [hx-get], main [hx-post], main [hx-delete], main [data-opens]")]
               .filter((each) => !(each.getAttribute("hx-trigger") || "").match(/every|from:|load/))
               .filter((each) => !each.matches("a, button, input, select, textarea, form"))
               .map((each) => each.outerHTML)"""
        )
        assert unreachable == [], address


def _sizes(browser: Browser, system: OwnSystem, address: str) -> dict[Request, int]:
    """What this page asked for when it was seen first, until its first poll was answered, and the bytes of each."""
    context = browser.new_context(base_url=system.url, viewport=DESKTOP)
    context.clock.install()
    page = context.new_page()
    sign_in(page, system.key)
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request))
    page.goto(address, wait_until="load")
    if page.locator("[hx-trigger^=every]").count():
        with page.expect_event("requestfinished", predicate=_is_poll):
            page.clock.fast_forward(LONGER_THAN_ANY_POLL_MS)
    sizes = {request: request.sizes()["responseBodySize"] for request in asked if request.response() is not None}
    context.close()
    return sizes


def _is_poll(request: Request) -> bool:
    return request.headers.get("hx-request") == "true"
