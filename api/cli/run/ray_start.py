"""Ray's start: on this machine alone, and on a busy one.

Ray gives its raylet half a minute to appear in the cluster, and no setting to change that. But the raylet appears only
after two agents, Python programs with large imports: on a machine that loads models, at its boot or beside other work,
that takes longer, and the start would fail for no other reason. The raylet itself ends when an agent takes longer than
a quarter of a minute; then nothing is left to wait for, and all has to be started anew.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil
from ray._private import ray_constants, services

from cluster.errors import StartError

_LOOK_S = 0.25
_RAYLET = "raylet"

ON_THIS_MACHINE = {ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0"}
"""What tells Ray's processes to listen on the loopback interface alone: there is no cluster of several machines.

Ray has it for systems where such a cluster is not supported, and so does everywhere what it says. Else all that it
starts, some twenty processes, would listen on all interfaces.
"""


@contextmanager
def on_this_machine_only() -> Iterator[None]:
    """In here, Ray starts as `ON_THIS_MACHINE` says, unless the environment says otherwise by now.

    This process has read its environment long ago.
    """
    read = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR].lower() in ("1", "true")
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = read


@contextmanager
def patience(limit_s: float) -> Iterator[None]:
    """In here, Ray waits for its own raylet for at least so long."""
    asked_once = services.get_node

    def get_node(gcs_address: str, node_id: str) -> Any:
        give_up_s = time.monotonic() + limit_s
        while True:
            try:
                return asked_once(gcs_address, node_id)
            except RuntimeError:
                if time.monotonic() >= give_up_s:
                    raise
                if not _raylet_lives():
                    raise StartError("its raylet has ended: an agent of it took too long to begin") from None
            time.sleep(_LOOK_S)

    services.get_node = get_node
    try:
        yield
    finally:
        services.get_node = asked_once


def _raylet_lives() -> bool:
    """Whether the raylet that this process has started runs."""
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if child.name() == _RAYLET and child.status() != psutil.STATUS_ZOMBIE:
                return True
    return False
