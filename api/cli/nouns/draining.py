"""A drained machine's last jobs: how many there are, until there are none."""

import time

from api.cli.client import Client
from api.cli.nouns.countdown import Countdown
from api.cli.responses import Json
from api.cli.top.glance import running_of
from cluster.errors import Conflict, JobTimeout

_LOOK_S = 0.5


def wait_until_idle(client: Client, node_id: str, timeout_s: float | None, shown: bool) -> Json:
    """The node, once none of its jobs runs there.

    Raises Conflict where it is given jobs again meanwhile, and JobTimeout after `timeout_s`.
    """
    with Countdown(f"Draining {node_id}", "jobs gone", shown) as countdown:
        give_up_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            node = client.read(f"/nodes/{node_id}")
            running = running_of(node)
            countdown.tell(running, f"{running} {'job runs' if running == 1 else 'jobs run'}")
            if running == 0 or node.get("status") == "offline":
                return node
            if node.get("status") == "online":
                raise Conflict(f"{node_id} is given jobs again: somebody undrained it")
            if give_up_s is not None and time.monotonic() >= give_up_s:
                raise JobTimeout(f"{node_id} still has {running} jobs after {timeout_s:g} s; it goes on draining")
            time.sleep(_LOOK_S)
