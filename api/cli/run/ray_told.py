"""What a Ray cluster that runs tells of itself, asked by a process that does not join it: `python -m` this, an address.

It prints one line of JSON. In a process of its own, because Ray's library ends a process that it does not like.
"""

import json
import socket
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

import psutil

_CONNECT_S = 5.0
_ANSWER_S = 10.0
_METADATA = b"CLUSTER_METADATA"


def told(address: str) -> dict[str, Any]:
    """Versions, machines and resources; a `problem` where it cannot be asked, and of which `kind` that is."""
    from ray._private import ray_constants, services

    try:
        found = services.canonicalize_bootstrap_address_or_die(address)
    except (ConnectionError, ValueError) as error:
        return {"problem": _line(error), "kind": "not found"}
    if (problem := _unreachable(found)) is not None:
        return {"address": found, "problem": problem, "kind": "unreachable"}
    return {"address": found, **_of_cluster(found, ray_constants.KV_NAMESPACE_CLUSTER)}


def _unreachable(address: str) -> str | None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _of_cluster(address: str, namespace: bytes) -> dict[str, Any]:
    import ray
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.exceptions import AuthenticationError, RayError

    try:
        client = GcsClient(address=address)
        metadata = json.loads(client.internal_kv_get(_METADATA, namespace=namespace, timeout=_ANSWER_S))
        nodes = client.get_all_node_info(timeout=_ANSWER_S).values()
        usage = client.get_all_resource_usage(timeout=_ANSWER_S).resource_usage_data.batch
    except AuthenticationError:
        return {"problem": "it asks for a token, and not for the one that there is here", "kind": "token"}
    except (RayError, TypeError) as error:  # one that is no Ray answers nothing
        return {"problem": _line(error), "kind": "no answer"}
    alive = [node for node in nodes if node.state == node.ALIVE]
    return {
        "ray": metadata["ray_version"],
        "python": metadata["python_version"],
        "own_ray": ray.__version__,
        "machines": len({node.node_manager_address for node in alive}),
        "gone": len(nodes) - len(alive),
        "is_here": bool({node.node_manager_address for node in alive} & _addresses()),
        "most_gpus": max((node.resources_total.get("GPU", 0) for node in alive), default=0),
        "total": _added([each.resources_total for each in usage]),
        "free": _added([each.resources_available for each in usage]),
    }


def _added(resources: list[Mapping[str, float]]) -> dict[str, float]:
    sums: Counter[str] = Counter()
    for each in resources:
        sums.update({name: each.get(name, 0) for name in ("CPU", "GPU", "memory")})
    return dict(sums)


def _addresses() -> set[str]:
    """All that this machine has."""
    return {each.address for interface in psutil.net_if_addrs().values() for each in interface}


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


if __name__ == "__main__":
    print(json.dumps(told(sys.argv[1])))
