"""What a shell may complete: the names of what the server has, as far as it tells them within a second.

A shell that completes has no place for errors: where nothing can be asked, nothing is offered.
"""

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from api.cli.client import Client
from api.cli.connection import resolve
from api.cli.render import one_line
from api.cli.responses import Json, RemoteError
from cluster.errors import InfernetError

_TIMEOUT_S = 1.0

Offer = tuple[str, str]
Completion = Callable[[Any, str], list[Offer]]


def _completion(ask: Callable[[Client], Iterable[Offer]]) -> Completion:
    def complete(ctx: Any, incomplete: str) -> list[Offer]:
        offers: list[Offer] = []

        def gather() -> None:
            with suppress(InfernetError, RemoteError, httpx.HTTPError, OSError), _client(ctx.params) as client:
                offers.extend((name, one_line(what)) for name, what in ask(client) if name.startswith(incomplete))

        # A limit for all of it, names that have to be looked up included. The process ends next, and this with it.
        asking = threading.Thread(target=gather, daemon=True)
        asking.start()
        asking.join(_TIMEOUT_S)
        return list(offers)

    return complete


def _client(given: Mapping[str, Any]) -> Client:
    """Of the server that the line which is being completed names."""
    state = given.get("state")
    return Client(resolve(given.get("url"), given.get("key"), state and Path(state), os.environ), timeout_s=_TIMEOUT_S)


def _of(things: Iterable[Json], told: Callable[[Json], object], key: str = "id") -> list[Offer]:
    return [(str(each.get(key)), str(told(each) or "")) for each in things]


def _jobs(client: Client, *statuses: str) -> list[Offer]:
    found = [job for status in statuses for job in client.jobs(limit=100, status=status)["jobs"]]
    return _of(found, lambda job: f"{job.get('status')}, {job.get('model')}, {job.get('created_at')}")


models = _completion(lambda client: _of(client.models(all=True)["models"], lambda model: model.get("state")))
nodes = _completion(
    lambda client: _of(client.nodes()["nodes"], lambda node: f"{node.get('hostname')}, {node.get('status')}")
)
jobs = _completion(lambda client: _jobs(client, "all"))
open_jobs = _completion(lambda client: _jobs(client, "processing", "pending"))
ended_jobs = _completion(lambda client: _jobs(client, "completed", "failed"))
keys = _completion(
    lambda client: _of(client.listed("/keys", "keys")["keys"], lambda key: f"{key.get('name')}, {key.get('status')}")
)
active_keys = _completion(
    lambda client: _of(
        (key for key in client.listed("/keys", "keys")["keys"] if key.get("status") == "active"),
        lambda key: key.get("name"),
    )
)
accounts = _completion(
    lambda client: _of(client.listed("/accounts", "accounts")["accounts"], lambda each: each.get("name"))
)
webhooks = _completion(
    lambda client: _of(client.listed("/webhooks", "webhooks")["webhooks"], lambda each: each.get("url"))
)
