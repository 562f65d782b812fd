"""The port by which replicas of Serve's deployments call each other.

Serve opens it in every replica, on all interfaces and without asking who calls, though what is sent there is unpickled:
whoever reaches it runs code. There is one deployment here, so nobody calls but Serve's way out while no HAProxy has it.
"""

from typing import Any

from ray.serve._private import replica
from ray.util import get_node_ip_address

_EVERYWHERE = "[::]:0"


def listen_where_the_node_does() -> None:
    """Called in a replica, before Serve opens the port: it listens at the address that the node has in its cluster."""
    opened = replica.add_port_to_grpc_server

    def add_port(server: Any, address: str) -> int:
        return int(opened(server, f"{_bracketed(get_node_ip_address())}:0" if address == _EVERYWHERE else address))

    replica.add_port_to_grpc_server = add_port


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
