"""The pictures of the README and the docs: python -m tests.browser.pictures --url URL --key KEY

They are taken of a system that runs, with the model `capitals`, by Chromium, after some jobs that give it something to
show. The keys and jobs that it makes stay.
"""

import argparse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import httpx
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.browser.conftest import sign_in
from tests.support.chromium import PHONE, chromium

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
_SIZE: ViewportSize = {"width": 1180, "height": 720}
_COUNTRIES = ("France", "Peru", "Japan", "Kenya", "Norway", "Chile", "Egypt", "Canada", "Vietnam", "Portugal")
_AT_ONCE = 8


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.browser.pictures", description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--key", required=True, help="an admin's key")
    parser.add_argument("--jobs", type=int, default=300, help="how many jobs there are to be before (300)")
    options = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    _give_it_something_to_do(options.url, options.key, options.jobs)
    with chromium() as browser:
        with _signed_in(browser, options.url, options.key, "light") as page:
            _overview(page, "overview")
            _keys(page)
            _playground(page)
            _job(page)
            _usage(page)
        with _signed_in(browser, options.url, options.key, "dark") as page:
            _overview(page, "overview-dark")
        with _signed_in(browser, options.url, options.key, "light", PHONE) as page:
            _overview(page, "overview-phone")


def _give_it_something_to_do(url: str, key: str, jobs: int) -> None:
    def ask(number: int) -> None:
        country = _COUNTRIES[number % len(_COUNTRIES)]
        question = {"role": "user", "content": f"What is the capital of {country}?"}
        body = {"model": "capitals", "messages": [question], "metadata": {"from": "the pictures"}}
        with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=120) as client:
            job = client.post(f"{url}/api/v1/jobs", json=body).raise_for_status().json()
            client.get(f"{url}/api/v1/jobs/{job['id']}?wait=60").raise_for_status()

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        list(threads.map(ask, range(jobs)))


@contextmanager
def _signed_in(
    browser: Browser, url: str, key: str, scheme: Literal["light", "dark"], size: ViewportSize = _SIZE
) -> Iterator[Page]:
    context = browser.new_context(base_url=url, viewport=size, color_scheme=scheme, locale="en-GB")
    page = context.new_page()
    sign_in(page, key)
    yield page
    context.close()


def _taken(page: Page, name: str) -> None:
    page.screenshot(path=FOLDER / f"{name}.png")


def _keys(page: Page) -> None:
    page.goto("/settings/keys")
    page.get_by_role("button", name="Create key").click()
    page.get_by_label("Name").fill("notebook")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.locator("#secret")).to_be_visible()
    # It is one of a system that will be gone; still, a picture is no place for a key.
    page.locator("#secret").evaluate("(secret) => { secret.textContent = 'inft_' + '\u2022'.repeat(32); }")
    _taken(page, "key")


def _playground(page: Page) -> None:
    page.goto("/playground")
    page.get_by_label("Model").select_option("capitals")
    page.get_by_label("Message").fill("What is the capital of Peru?")
    page.get_by_label("Cut the connection").check()
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("No character is missing or doubled")).to_be_visible(timeout=60_000)
    _taken(page, "chat")


def _job(page: Page) -> None:
    page.goto("/jobs")
    page.get_by_role("main").get_by_role("link", name="job_").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("job_")
    _taken(page, "job")


def _usage(page: Page) -> None:
    page.goto("/usage")
    page.wait_for_load_state("networkidle")
    _taken(page, "usage")


def _overview(page: Page, name: str) -> None:
    page.goto("/")
    page.wait_for_load_state("networkidle")
    _taken(page, name)


if __name__ == "__main__":
    main()
