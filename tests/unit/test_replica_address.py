"""Ingress replicas listen where HAProxy looks for them, whatever address the door has."""

import asyncio
import inspect
from typing import Any

import pytest


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("door", ["0.0.0.0", "::", "::1", "192.0.2.2", "127.0.0.1"])
@pytest.mark.parametrize(("own", "listens"), [("10.0.0.1", "127.0.0.1"), ("10.0.0.2", "10.0.0.2")])
def test_on_the_head_that_is_the_loopback_interface_and_elsewhere_the_nodes_address(
    door: str, own: str, listens: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.serve._private import replica
    from ray.serve.config import HTTPOptions

    from actors.ray import machines
    from actors.ray.replica_address import listen_where_haproxy_looks

    opened: list[tuple[str, int]] = []

    async def start(app: Any, options: Any, *, enable_so_reuseport: bool) -> str:
        opened.append((options.host or "", options.port))
        return "started"

    monkeypatch.setattr(replica, "start_asgi_http_server", start)
    monkeypatch.setattr(machines, "my_address", lambda: own)
    monkeypatch.setattr(machines, "heads_address", lambda: "10.0.0.1")
    listen_where_haproxy_looks()
    options = HTTPOptions(host=door, port=30_000)
    started = replica.start_asgi_http_server(None, options, enable_so_reuseport=False)
    assert asyncio.run(started) == "started"
    assert opened == [(listens, 30_000)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_serve_asks_as_we_expect() -> None:
    from ray.serve._private import replica

    assert "return await start_asgi_http_server(" in inspect.getsource(replica)
