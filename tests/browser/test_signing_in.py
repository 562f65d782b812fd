"""Who has a key gets in, and nobody else; the session ends with the key."""

from playwright.sync_api import BrowserContext, Page, expect

from tests.support.own_system import OwnSystem


def test_a_wrong_key_is_told_and_the_right_one_leads_to_where_one_wanted(
    context: BrowserContext, system: OwnSystem
) -> None:
    page = context.new_page()
    page.goto("/nodes")
    page.get_by_label("API key").fill("inft_" + "x" * 40)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("Invalid or expired key")
    page.get_by_label("API key").fill(system.key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Nodes")
    cookie = context.cookies()[0]
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["secure"]) == (True, "Lax", False)
    assert system.key not in cookie["value"]


def test_who_signs_out_is_out(page: Page) -> None:
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    page.goto("/jobs")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
