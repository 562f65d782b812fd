"""What a system does at one moment, as far as this key may know."""

from datetime import datetime

import httpx
from msgspec import Struct

from api.cli.client import Client
from api.cli.responses import Json, RemoteError

_JOBS = 50
_MINUTES = 5
# Whose key may not know, and a server that has none of it.
_NOT_TOLD = frozenset({httpx.codes.FORBIDDEN, httpx.codes.NOT_FOUND, httpx.codes.BAD_REQUEST})


class Glance(Struct, frozen=True):
    """`minutes` are the last ones, the oldest first: none where they are not told. `now` is the server's clock."""

    url: str
    ready: bool
    models: list[Json]
    nodes: list[Json]
    jobs: list[Json]
    minutes: list[Json]
    now: datetime

    @property
    def queued(self) -> int:
        return sum(int(model.get("queued", 0)) for model in self.models)

    @property
    def running(self) -> int:
        return sum(running_of(node) for node in self.nodes)

    @property
    def tokens_per_second(self) -> float | None:
        """Of all models together, as they are generated: of the minute that is not over, or the one before."""
        told = [minute["tokens_per_second"] for minute in self.minutes[-2:] if "tokens_per_second" in minute]
        return float(told[-1]) if told else None


def look(client: Client) -> Glance:
    """Ask for all of it. Raises RemoteError and httpx.HTTPError."""
    ready = client.ready()
    models, nodes = client.models(all=True)["models"], client.nodes()["nodes"]
    return Glance(client.url, ready, models, nodes, _jobs(client), _minutes(client), client.server_time())


def running_of(node: Json) -> int:
    """How many jobs its engines work on."""
    return sum(int(engine.get("running", 0)) for engine in node.get("engines", []))


def _jobs(client: Client) -> list[Json]:
    """Those that run: everybody's for an admin, else the account's own."""
    try:
        return list(client.listed("/jobs", "jobs", status="processing", limit=_JOBS, account="all")["jobs"])
    except RemoteError as error:
        if error.status not in _NOT_TOLD:
            raise
    return list(client.jobs(status="processing", limit=_JOBS)["jobs"])


def _minutes(client: Client) -> list[Json]:
    try:
        return list(client.listed("/history", "minutes", minutes=_MINUTES)["minutes"])
    except RemoteError as error:
        if error.status not in _NOT_TOLD:
            raise
    return []
