"""Models: what a page tells of one, and what admins do to it."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, BrowserContext, Page, expect

from cluster.catalogue import Adapter, Price, Replicas
from tests.browser.conftest import sign_in
from tests.support.own_system import OwnSystem, own_system
from tests.support.plain_system import SIM

WIDE = replace(
    SIM,
    id="team/wide",
    aliases=("wide",),
    replicas=Replicas(1, 2),
    price=Price(0.5, 1.5),
    adapters=(Adapter("poet", "somewhere", Price(1.0, 2.0)),),
)


@pytest.fixture(scope="module")
def system(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnSystem]:
    with own_system(tmp_path_factory.mktemp("system"), nodes=3, models=(WIDE,)) as system:
        yield system


@pytest.fixture
def model(page: Page) -> Page:
    page.get_by_role("link", name="Models").click()
    page.get_by_role("link", name="team/wide").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Model team/wide")
    return page


def test_a_page_tells_what_it_does_and_why(model: Page) -> None:
    now = model.locator("#now")
    expect(now).to_contain_text("1 of 1 wanted")
    expect(now).to_contain_text("0.5 and 1.5 per million tokens")
    expect(now).to_contain_text("1 to 2 replicas; as the settings say")
    expect(model.get_by_role("region", name="Replicas")).to_contain_text("team/wide/0")
    expect(model.get_by_role("region", name="Adapters", exact=True)).to_contain_text("poet")


def test_bounds_are_set_refused_and_given_back(model: Page) -> None:
    replicas = model.get_by_role("region", name="Replicas").get_by_role("row")
    expect(replicas).to_have_count(2)
    model.get_by_label("At least").fill("2")
    model.get_by_role("button", name="Save").click()
    expect(model.get_by_text("These hold now")).to_be_visible()
    expect(replicas).to_have_count(3)
    expect(model.locator("#now")).to_contain_text("2 to 2 replicas; set by an admin")
    model.get_by_label("At least").fill("many")
    model.get_by_role("button", name="Save").click()
    expect(model.get_by_role("alert")).to_contain_text("min")
    expect(model.get_by_label("At least")).to_have_value("many")
    model.get_by_label("At least").fill("")
    model.get_by_role("button", name="Save").click()
    expect(model.locator("#now")).to_contain_text("1 to 2 replicas; as the settings say")


def test_its_replicas_are_replaced_once_that_has_been_asked_again(model: Page) -> None:
    replicas = model.get_by_role("region", name="Replicas")
    expect(replicas).to_contain_text("ready")
    before = replicas.get_by_role("rowheader").first.inner_text()
    model.get_by_role("button", name="Restart").click()
    model.get_by_role("dialog").get_by_role("button", name="Keep").click()
    model.get_by_role("button", name="Restart").click()
    model.get_by_role("dialog").get_by_role("button", name="Restart").click()
    expect(replicas.get_by_role("rowheader", name=before, exact=True)).to_have_count(0, timeout=20_000)
    expect(replicas).to_contain_text("ready")


def test_an_adapter_is_added_and_removed_once_that_has_been_asked_again(model: Page) -> None:
    model.get_by_label("Adapter", exact=True).fill("poet")
    model.get_by_label("Source").fill("org/pirate")
    model.get_by_role("button", name="Add", exact=True).click()
    expect(model.get_by_role("alert")).to_contain_text("poet is an adapter of team/wide in the settings")
    model.get_by_label("Adapter", exact=True).fill("team/pirate")
    model.get_by_label("Price of answers").fill("2.5")
    model.get_by_role("button", name="Add", exact=True).click()
    added = model.get_by_role("region", name="Added adapters")
    expect(added).to_contain_text("team/pirate")
    expect(model.get_by_role("region", name="Adapters", exact=True)).to_contain_text("0 and 2.5")
    added.get_by_role("button", name="Remove").click()
    model.get_by_role("dialog").get_by_role("button", name="Keep").click()
    expect(added).to_contain_text("team/pirate")
    added.get_by_role("button", name="Remove").click()
    model.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(added).to_have_count(0)
    expect(model.get_by_role("region", name="Adapters", exact=True)).not_to_contain_text("team/pirate")


def test_members_see_it_and_change_nothing(context: BrowserContext, page: Page, system: OwnSystem) -> None:
    page.goto("/settings/keys")
    page.get_by_role("button", name="Create key").click()
    page.get_by_label("Name").fill("a member")
    page.get_by_role("button", name="Create", exact=True).click()
    secret = page.locator("#secret").inner_text()
    page.get_by_role("button", name="Sign out").click()
    sign_in(page, secret)
    page.goto("/models/team/wide")
    expect(page.locator("#now")).to_contain_text("wanted")
    for name in ("Save", "Restart", "Add", "Remove"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
