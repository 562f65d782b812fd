"""Serve's replicas do not listen on all interfaces for calls of each other."""

import inspect
from typing import Any

import pytest


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("node", "wanted", "opened"),
    [
        ("127.0.0.1", "[::]:0", "127.0.0.1:0"),
        ("fd00::7", "[::]:0", "[fd00::7]:0"),
        ("10.0.0.7", "127.0.0.1:9000", "127.0.0.1:9000"),
    ],
)
def test_it_listens_where_its_node_does(node: str, wanted: str, opened: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.serve._private import replica

    from actors.ray import replica_port

    asked: list[str] = []

    def add_port(server: Any, address: str) -> int:
        asked.append(address)
        return 7

    monkeypatch.setattr(replica, "add_port_to_grpc_server", add_port)
    monkeypatch.setattr(replica_port, "get_node_ip_address", lambda: node)
    replica_port.listen_where_the_node_does()
    assert replica.add_port_to_grpc_server(None, wanted) == 7
    assert asked == [opened]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_serve_asks_as_we_expect() -> None:
    from ray.serve._private import replica

    assert 'add_port_to_grpc_server(self._server, "[::]:0")' in inspect.getsource(replica)
