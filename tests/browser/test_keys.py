"""A key is made, used and revoked."""

import httpx
from playwright.sync_api import Page, expect

from tests.support.own_system import OwnSystem
from tests.support.waiting import wait_until


def status_with(url: str, key: str) -> int:
    return httpx.get(f"{url}/api/v1/models", headers={"Authorization": f"Bearer {key}"}).status_code


def test_a_key_is_made_shown_once_used_and_revoked(page: Page, system: OwnSystem) -> None:
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("link", name="API Keys").click()
    page.get_by_role("button", name="Create key").click()
    page.get_by_label("Name").fill("notebook")
    page.get_by_label("Submissions per minute").fill("7")
    page.get_by_role("button", name="Create", exact=True).click()
    secret = page.locator("#secret").inner_text()
    page.get_by_role("button", name="Copy").click()
    row = page.get_by_role("row").filter(has_text="notebook")
    expect(row).to_contain_text("7/min")
    assert status_with(system.url, secret) == 200
    page.reload()
    assert secret not in page.content()

    row.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(row).to_have_count(0)
    wait_until(lambda: status_with(system.url, secret) == 401, 5.0, "the key to be refused")


def test_what_is_wrong_in_the_form_is_told_beside_what_was_typed(page: Page) -> None:
    page.goto("/settings/keys")
    page.get_by_role("button", name="Create key").click()
    page.get_by_label("Name").fill("mine")
    page.get_by_label("Reads per minute").fill("many")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("limits.reads_per_minute")
    expect(page.get_by_label("Name")).to_have_value("mine")
    expect(page.get_by_label("Reads per minute")).to_have_value("many")
