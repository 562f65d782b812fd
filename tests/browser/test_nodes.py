"""Nodes: a machine is drained and given work again, from the list and from its own page."""

from playwright.sync_api import Page, expect

from tests.support.own_system import OwnSystem


def test_a_node_is_drained_and_undrained(page: Page, system: OwnSystem) -> None:
    node_id = system.plain.node_ids[1]
    page.get_by_role("link", name="Nodes").click()
    row = page.get_by_role("row").filter(has_text=node_id)
    row.get_by_role("button", name="Drain").click()
    expect(row).to_contain_text("draining")
    row.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Node {node_id}")
    expect(page.locator("#node")).to_contain_text("draining")
    page.get_by_role("button", name="Undrain").click()
    expect(page.locator("#node")).to_contain_text("online")
    expect(page.get_by_role("button", name="Drain")).to_be_visible()
