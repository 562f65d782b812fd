"""The pages of docs/ as a site: every link leads somewhere, and no page asks another host for anything."""

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from mkdocs.config import load_config

from api.app import create_app
from tests.support.doc_blocks import ROOT
from tests.support.http_door import bare_gateway

LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href", "image": "href"}
_ELSEWHERE = re.compile(r"(?:https?:)?//")
_OF_STYLES = re.compile(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-4000:]
    return folder


class Loaded(HTMLParser):
    """What a page has its browser load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert "mermaid" not in (given.get("class") or ""), "its script would be loaded from elsewhere"
        address = given.get(LOADS.get(tag, ""))
        if address and given.get("rel") not in ("canonical", "next", "prev"):
            self.found.append(address)


def loaded(site: Path) -> Iterator[tuple[str, str]]:
    for page in site.rglob("*.html"):
        yield from ((page.name, address) for address in Loaded(page.read_text()).found)
    for style in [*site.rglob("*.css"), *site.rglob("*.svg")]:
        yield from ((style.name, a or b) for a, b in _OF_STYLES.findall(style.read_text()))


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    everything = list(loaded(site))
    assert len(everything) > 100
    assert [(page, address) for page, address in everything if _ELSEWHERE.match(address)] == []


def test_every_route_and_every_decision_is_there(site: Path) -> None:
    told = (site / "reference" / "http.html").read_text()
    routes = [route for route in create_app(bare_gateway()).routes if isinstance(route, APIRoute)]
    shown = [route for route in routes if route.include_in_schema]
    missing = [
        route.path for route in shown if not any(f"{method} {route.path_format}<" in told for method in route.methods)
    ]
    assert missing == []
    decisions = (site / "decisions" / "index.html").read_text()
    assert [p.stem for p in (ROOT / "docs" / "decisions").glob("0*.md") if f"{p.stem}.html" not in decisions] == []
    commands = (site / "reference" / "commands.html").read_text()
    assert all(f"infernet {command}" in commands for command in ("up", "keys create", "db check", "doctor"))


def test_the_pages_are_those_of_the_readme_too(site: Path) -> None:
    """The README is read on its own, and is the first page: its links lead to the same pages."""
    linked = set(re.findall(r"\]\(docs/([\w/.-]+)\.md", (ROOT / "README.md").read_text()))
    assert linked
    assert [page for page in linked if not (site / f"{page}.html").exists()] == []
    assert load_config(str(ROOT / "mkdocs.yml")).strict
