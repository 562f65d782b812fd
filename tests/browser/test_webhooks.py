"""Webhooks: an endpoint is made, tried, told of a job, disabled and removed; its deliveries are seen and repeated."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from standardwebhooks import Webhook

from cluster.settings.sections.webhooks import Webhooks
from tests.browser.axe import violations
from tests.support.own_system import OwnSystem, own_system

Told = tuple[dict[str, str], bytes]


class Host:
    """A server that is told of events, and answers with `status`."""

    def __init__(self) -> None:
        self.told: Queue[Told] = Queue()
        self.status = 204
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                host.told.put(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(host.status)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/told"


@pytest.fixture(scope="module")
def system(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnSystem]:
    """One that may tell this machine, and has a Courier."""
    webhooks = Webhooks(private_hosts=("127.0.0.1",), timeout_s=2)
    with own_system(tmp_path_factory.mktemp("system"), webhooks=webhooks) as system:
        system.do(system.plain.start_courier())
        yield system


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host()
    thread = threading.Thread(target=host.server.serve_forever)
    thread.start()
    yield host
    host.server.shutdown()
    host.server.server_close()
    thread.join()


def create(page: Page, url: str) -> str:
    """The secret, which is shown once."""
    page.goto("/settings/webhooks")
    page.get_by_role("button", name="Create webhook").click()
    page.get_by_label("URL").fill(url)
    page.get_by_role("button", name="Create", exact=True).click()
    secret = page.locator("#secret").inner_text()
    page.get_by_role("button", name="Done").click()
    expect(page.locator("#secret")).to_have_count(0)
    expect(page.get_by_role("row").filter(has_text=url)).to_be_visible()
    return secret


def test_an_endpoint_is_told_and_its_deliveries_are_seen(page: Page, system: OwnSystem, host: Host) -> None:
    secret = create(page, host.url)
    assert secret not in page.content()
    row = page.get_by_role("row").filter(has_text=host.url)
    row.get_by_role("button", name="Test").click()
    headers, body = host.told.get(timeout=10)
    assert Webhook(secret).verify(body, headers)["type"] == "webhook.test"

    host.status = 500
    submission = {"model": "sim", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5}
    api = {"Authorization": f"Bearer {system.key}"}
    httpx.post(f"{system.url}/api/v1/jobs", json=submission, headers=api)
    host.told.get(timeout=10)
    page.get_by_role("link", name="what came of it").click()
    failed = page.get_by_role("row").filter(has_text="job.completed")
    expect(failed).to_contain_text("500")
    expect(failed).to_contain_text("pending")

    host.status = 204
    failed.get_by_role("button", name="Redeliver").click()
    host.told.get(timeout=10)
    expect(failed).to_contain_text("delivered")
    page.get_by_role("link", name="failed", exact=True).click()
    expect(page.get_by_text("None is failed")).to_be_visible()


def test_an_endpoint_is_changed_disabled_and_removed(page: Page, host: Host) -> None:
    url = f"{host.url}/other"
    secret = create(page, url)
    row = page.get_by_role("row").filter(has_text=url)
    row.get_by_role("button", name="Disable").click()
    expect(row).to_contain_text("disabled")
    expect(row.get_by_role("button", name="Test")).to_have_count(0)
    row.get_by_role("button", name="Enable").click()
    expect(row).to_contain_text("enabled")

    row.get_by_role("button", name="Edit").click()
    page.get_by_label("job.completed").uncheck()
    page.get_by_label("job.failed").uncheck()
    page.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("jobs that name it")

    row.get_by_role("button", name="Rotate").click()
    page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    expect(page.locator("#secret")).not_to_have_text(secret)
    page.get_by_role("button", name="Done").click()
    row.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)


def test_a_url_that_nothing_may_be_sent_to_is_told_beside_what_was_typed(page: Page) -> None:
    page.goto("/settings/webhooks")
    page.get_by_role("button", name="Create webhook").click()
    assert violations(page) == []
    page.get_by_label("URL").fill("http://169.254.169.254/<b>")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("url")
    expect(page.get_by_label("URL")).to_have_value("http://169.254.169.254/<b>")
