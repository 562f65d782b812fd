"""A drained machine's last jobs: how many there are, until there are none."""

import sys
import time

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from api.cli.client import Client
from api.cli.responses import Json
from api.cli.top.glance import running_of
from cluster.errors import Conflict, JobTimeout

_LOOK_S = 0.5


def wait_until_idle(client: Client, node_id: str, timeout_s: float | None, shown: bool) -> Json:
    """The node, once none of its jobs runs there. `shown`: how far it is, as a bar, or as lines where nobody looks.

    Raises Conflict where it is given jobs again meanwhile, and JobTimeout after `timeout_s`.
    """
    with _Shown(node_id, shown) as display:
        give_up_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            node = client.read(f"/nodes/{node_id}")
            running = running_of(node)
            display.tell(running)
            if running == 0 or node.get("status") == "offline":
                display.end(node)
                return node
            if node.get("status") == "online":
                raise Conflict(f"{node_id} is given jobs again: somebody undrained it")
            if give_up_s is not None and time.monotonic() >= give_up_s:
                raise JobTimeout(f"{node_id} still has {running} jobs after {timeout_s:g} s; it goes on draining")
            time.sleep(_LOOK_S)


class _Shown:
    """What is to be seen of it: on a terminal a bar on stderr, else a line whenever the number changes."""

    def __init__(self, node_id: str, shown: bool) -> None:
        self._node_id = node_id
        self._shown = shown
        self._most = 0
        self._last: int | None = None
        self._progress: Progress | None = None
        if shown and sys.stderr.isatty():
            from rich.console import Console

            self._progress = Progress(
                TextColumn(f"Draining {node_id}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("jobs gone,"),
                TimeElapsedColumn(),
                console=Console(stderr=True),
            )

    def __enter__(self) -> "_Shown":
        if self._progress:
            self._progress.start()
            self._task = self._progress.add_task("", total=None)
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress:
            self._progress.stop()

    def tell(self, running: int) -> None:
        self._most = max(self._most, running)
        if self._progress:
            self._progress.update(self._task, total=self._most, completed=self._most - running)
        elif self._shown and running != self._last and running:
            print(
                f"{self._node_id}: {running} {'job runs' if running == 1 else 'jobs run'}", file=sys.stderr, flush=True
            )
        self._last = running

    def end(self, node: Json) -> None:
        if self._shown:
            print(f"{self._node_id} is {node.get('status')}: none of its jobs runs there any more")
