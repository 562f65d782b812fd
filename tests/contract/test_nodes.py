"""Nodes: a member reads them."""

import pytest

from tests.contract.client import NODE_ID, TIME, Api, answered, refused

ALWAYS = {"id", "status", "last_heartbeat", "gpus", "models", "engines"}


def test_the_list(api: Api, fast: str, broken: str) -> None:
    nodes = answered(api.get("/nodes"))["nodes"]
    assert nodes
    for node in nodes:
        assert set(node) >= ALWAYS
        assert NODE_ID.fullmatch(node["id"])
        assert node["status"] in ("online", "draining", "offline")
        assert TIME.fullmatch(node["last_heartbeat"])
        assert isinstance(node["gpus"], list)
        assert node["status"] == "offline" or 0 <= node["heartbeat_age_ms"] < 60_000
    served = {model for node in nodes for model in node["models"]}
    assert fast in served
    assert broken not in served


def test_one(api: Api) -> None:
    listed = answered(api.get("/nodes"))["nodes"][0]
    node = answered(api.get(f"/nodes/{listed['id']}"))
    assert set(node) == set(listed)
    assert (node["id"], node["status"]) == (listed["id"], "online")
    assert node["last_heartbeat"] >= listed["last_heartbeat"]


def test_its_heart_beats(api: Api) -> None:
    """The page is polled for the next beat; one that never comes runs into the test's own time limit."""
    node = answered(api.get("/nodes"))["nodes"][0]
    while answered(api.get(f"/nodes/{node['id']}"))["last_heartbeat"] == node["last_heartbeat"]:
        pass


def test_its_status_in_two_words(anonymous: Api, api: Api) -> None:
    node = answered(api.get("/nodes"))["nodes"][0]["id"]
    assert answered(anonymous.get(f"/nodes/{node}/status")) == {"status": "online"}


@pytest.mark.parametrize("node_id", ["node_0000000000000000", "x", "%F0%9F%8C%8D"])
def test_an_unknown_node(api: Api, admin: Api, anonymous: Api, node_id: str) -> None:
    refused(api.get(f"/nodes/{node_id}"), 404, "node_not_found")
    refused(anonymous.get(f"/nodes/{node_id}/status"), 404, "node_not_found")
    refused(admin.post(f"/nodes/{node_id}/drain"), 404, "node_not_found")
    refused(admin.post(f"/nodes/{node_id}/undrain"), 404, "node_not_found")
