"""Overview: live numbers, plots of the last hour and their numbers, and what is wrong."""

import httpx
from playwright.sync_api import Page, expect

from tests.support.own_system import OwnSystem


def submit(system: OwnSystem, **fields: object) -> None:
    body = {"model": "sim", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 20, **fields}
    with httpx.Client(base_url=f"{system.url}/api/v1", headers={"Authorization": f"Bearer {system.key}"}) as api:
        job_id = api.post("/jobs", json=body).json()["id"]
        assert api.get(f"/jobs/{job_id}?wait=10").json()["status"] == "completed"


def test_numbers_are_live_and_the_last_hour_is_drawn(page: Page, system: OwnSystem) -> None:
    figures = page.get_by_role("figure")
    expect(figures).to_have_count(4)
    for figure in figures.all():
        expect(figure.locator("canvas")).to_be_visible()
    ended = page.locator(".stats > div").filter(has_text="Failures, last hour").locator("small")
    before = int((ended.text_content() or "").removeprefix("of "))
    submit(system)
    expect(ended).to_have_text(f"of {before + 1}")
    running = figures.filter(has_text="Jobs that wait and run")
    running.get_by_text("As numbers").click()
    expect(running.get_by_role("row")).to_have_count(61)
    expect(running.get_by_role("columnheader", name="Running (jobs)")).to_be_visible()


def test_models_and_machines_are_a_click_away(page: Page, system: OwnSystem) -> None:
    page.get_by_role("link", name="sim", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Model sim")
    page.get_by_role("link", name="Overview").click()
    page.get_by_role("link", name=system.plain.node_ids[0]).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Node {system.plain.node_ids[0]}")
