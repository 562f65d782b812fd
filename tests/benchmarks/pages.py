"""How long the dashboard's pages take, and what they weigh: python -m tests.benchmarks.pages

A database is filled with so many ended jobs, a system started on it, and every page loaded again and again: by a
client, which tells how long the server takes, and by Chromium, which tells when the first thing is painted.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import httpx
from playwright.sync_api import Browser

from cluster.clock import wall_ms
from cluster.ids import new_key_id
from cluster.messages.people import KeyLimits, NewKey
from cluster.store import keys
from cluster.store.database import Database
from tests.benchmarks import report
from tests.benchmarks.growth.rows import fill
from tests.browser.conftest import sign_in
from tests.browser.every_page import addresses
from tests.support.chromium import DESKTOP, chromium
from tests.support.ledger_stage import OURS, url
from tests.support.own_system import OwnSystem, own_system
from tests.support.plain_system import ADMIN_KEY, SIM

_MANY = KeyLimits(10**6, 10**6, 10**6)
_FIRST_PAINT = """() => new Promise((told) => new PerformanceObserver((list) => {
    for (const entry of list.getEntriesByName("first-contentful-paint")) told(entry.startTime);
}).observe({ type: "paint", buffered: true }))"""
_BYTES = "performance.getEntries().reduce((sum, each) => sum + (each.encodedBodySize || 0), 0)"


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.pages", description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1_000_000, help="ended jobs (1000000)")
    parser.add_argument("--repeats", type=int, default=20, help="of each page (20)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pages-") as folder, chromium() as browser:
        _fill(Path(folder) / "own.db", options.jobs)
        with own_system(Path(folder), limits=_MANY, models=[SIM]) as system:
            rows = [_row(browser, system, address, options.repeats) for address in addresses(system)]
    heads = ["page", "ms", "first paint ms", "bytes, all of it"]
    print(f"{options.jobs:,} ended jobs; median (least-most) of {options.repeats}\n\n{report.table(heads, rows)}")


def _fill(database: Path, jobs: int) -> None:
    """So many ended jobs, and an admin's key of the account that has most of them."""
    fill(database, jobs, wall_ms())
    store = Database(url(database))
    key = NewKey(new_key_id(), OURS, "admin", ADMIN_KEY, "admin", wall_ms())
    for answer in store.commit([lambda connection: keys.add(connection, key)]):
        if isinstance(answer, BaseException):
            raise answer
    store.close()


def _row(browser: Browser, system: OwnSystem, address: str, repeats: int) -> list[str]:
    print(f"  {address}", file=sys.stderr, flush=True)
    with httpx.Client(base_url=system.url, timeout=60) as client:
        client.post("/signin", data={"key": system.key})
        milliseconds = [_milliseconds(client, address) for _ in range(repeats)]
    paints, weight = _painted(browser, system, address, repeats)
    return [address.partition("/job_")[0], report.spread(milliseconds, 0), report.spread(paints, 0), f"{weight:,}"]


def _milliseconds(client: httpx.Client, address: str) -> float:
    began_s = time.perf_counter()
    response = client.get(address)
    assert response.status_code == 200, (address, response.status_code)
    return (time.perf_counter() - began_s) * 1000


def _painted(browser: Browser, system: OwnSystem, address: str, repeats: int) -> tuple[list[float], int]:
    """When something was seen, each time by a browser that has never been here, and the bytes of all it loaded."""
    paints, weight = [], 0
    for _ in range(repeats):
        context = browser.new_context(base_url=system.url, viewport=DESKTOP)
        page = context.new_page()
        sign_in(page, system.key)
        page.goto(address, wait_until="load")
        paints.append(page.evaluate(_FIRST_PAINT))
        weight = page.evaluate(_BYTES)
        context.close()
    return paints, weight


if __name__ == "__main__":
    main()
