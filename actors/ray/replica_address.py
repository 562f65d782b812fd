"""The address at which an ingress replica takes requests: where HAProxy looks for it, and nowhere else.

Serve has replicas listen at the address of the door itself, which is HAProxy's. HAProxy, which runs on the head, looks
for those of its own machine on the loopback interface, and for others at the addresses that their nodes have in the
cluster. Where the door's address is neither, it would find nobody, or whoever listens on such a port there.
"""

from typing import Any

from ray._common.network_utils import get_localhost_ip
from ray.serve._private import replica

from actors.ray import machines


def listen_where_haproxy_looks() -> None:
    """Called in a replica, before Serve opens its port for requests. Blocks."""
    address = _address(machines.my_address(), machines.heads_address())
    opened = replica.start_asgi_http_server

    async def start(app: Any, options: Any, **more: Any) -> Any:
        return await opened(app, options.model_copy(update={"host": address}), **more)

    replica.start_asgi_http_server = start


def _address(own: str, heads: str) -> str:
    return str(get_localhost_ip()) if own == heads else own
