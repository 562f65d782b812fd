"""Accounts and keys are made and changed; what stays in the form stays as it is."""

import httpx
from playwright.sync_api import Browser, Page, expect

from tests.browser.axe import violations
from tests.browser.conftest import sign_in
from tests.support.chromium import PHONE
from tests.support.own_system import OwnSystem


def told(system: OwnSystem, path: str) -> dict[str, object]:
    response = httpx.get(f"{system.url}/api/v1{path}", headers={"Authorization": f"Bearer {system.key}"})
    body: dict[str, object] = response.json()
    return body


def id_of(system: OwnSystem, what: str, name: str) -> str:
    listed = told(system, f"/{what}")[what]
    assert isinstance(listed, list)
    return next(str(each["id"]) for each in listed if each["name"] == name)


def test_an_account_is_made_and_changed(page: Page, system: OwnSystem) -> None:
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("link", name="Accounts").click()
    page.get_by_role("button", name="Create account").click()
    page.get_by_label("Name").fill("<b>search</b> team")
    page.get_by_label("Weight").fill("3")
    page.get_by_label("Amount").fill("2.5")
    page.get_by_label("Of", exact=True).select_option("money")
    page.get_by_role("button", name="Create", exact=True).click()
    row = page.get_by_role("row").filter(has_text="<b>search</b> team")
    expect(row).to_contain_text("0.00 of 2.50 money a month")
    account = id_of(system, "accounts", "<b>search</b> team")

    row.get_by_role("button", name="Edit").click()
    expect(page.get_by_label("Amount")).to_have_value("2.5")
    assert violations(page) == []
    page.get_by_label("Weight").fill("")
    page.get_by_label("Most jobs that wait").fill("7")
    page.get_by_label("Tokens per minute").fill("5000")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").first).to_contain_text("has been changed")
    expect(row).to_contain_text("5,000 tokens/min")
    changed = told(system, f"/accounts/{account}")
    assert (changed["weight"], changed["max_queued"]) == (1, 7)
    assert changed["budget"] == {"unit": "money", "amount": 2_500_000, "period": "month", "spent": 0, "reserved": 0}


def test_a_key_is_changed_in_what_is_otherwise_and_no_more(page: Page, system: OwnSystem) -> None:
    api = {"Authorization": f"Bearer {system.key}"}
    body = {
        "name": "nightly",
        "models": ["sim"],
        "expires_at": "2090-01-01T00:00:07Z",
        "limits": {"reads_per_minute": 9},
        "budget": {"unit": "money", "amount": 125, "period": "all"},
    }
    made = httpx.post(f"{system.url}/api/v1/keys", json=body, headers=api).json()
    page.goto("/settings/keys")
    row = page.get_by_role("row").filter(has_text="nightly")
    row.get_by_role("button", name="Edit").click()
    expect(page.get_by_label("Amount")).to_have_value("0.000125")
    assert violations(page) == []
    page.get_by_label("Name").fill("daily")
    page.get_by_label("Submissions per minute").fill("0")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("limits.submissions_per_minute")
    page.get_by_label("Submissions per minute").fill("8")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("row").filter(has_text="daily")).to_contain_text("8/min")
    changed = told(system, f"/keys/{made['id']}")
    assert changed == {
        **{name: value for name, value in made.items() if name != "key"},
        "name": "daily",
        "limits": {**made["limits"], "submissions_per_minute": 8},
    }


def test_forms_are_no_wider_than_a_telephone(browser: Browser, system: OwnSystem) -> None:
    context = browser.new_context(base_url=system.url, viewport=PHONE, has_touch=True, is_mobile=True)
    page = context.new_page()
    sign_in(page, system.key)
    widths = {}
    for address, button in (("keys", "Create key"), ("accounts", "Create account"), ("webhooks", "Create webhook")):
        page.goto(f"/settings/{address}")
        page.get_by_role("button", name=button).click()
        page.get_by_role("button", name="Create", exact=True).wait_for()
        widths[address] = page.evaluate("document.documentElement.scrollWidth")
    context.close()
    assert {address: width for address, width in widths.items() if width > PHONE["width"]} == {}
