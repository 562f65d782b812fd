"""The Grafana dashboard, as a file: tests/contract has a real Prometheus answer its queries."""

import json
import re
from typing import Any

from api.system.metrics.page import Page
from tests.support import metrics_page
from tests.support.prometheus import FOLDER

DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def names(expression: str) -> set[str]:
    """The series that an expression asks for."""
    return set(re.findall(r"(?:infernet_|gen_ai_(?:server|client)_|vllm:)[a-z_:]+", expression))


def test_every_query_asks_for_what_there_is() -> None:
    there = {sample.name for family in Page(metrics_page.full_state()).collect() for sample in family.samples}
    for panel in PANELS:
        for target in panel["targets"]:
            asked = names(target["expr"])
            assert asked, panel["title"]
            assert asked <= there, panel["title"]


def test_it_is_one_that_grafana_takes() -> None:
    """Of schema 36 and newer, which Grafana 10 and later ones read: every panel has its place and its source."""
    assert DASHBOARD["schemaVersion"] >= 36
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(cells) == len(set(cells))
    assert all(target["datasource"]["uid"] == "${datasource}" for panel in PANELS for target in panel["targets"])
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["datasource", "model"]
