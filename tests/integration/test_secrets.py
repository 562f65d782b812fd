"""Secrets that a system is started with are where they have to be, and nowhere else."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cluster.keys import new_secret
from tests.support.serving import Serving

pytestmark = pytest.mark.long

MODEL = {"models": [{"id": "sim", "backend": "simulated", "engine": {"fail_at_token": 5}}]}
JOB = {"model": "sim", "messages": [{"role": "user", "content": "Well?"}]}
_MOST_BYTES = 64 << 20


def test_neither_the_keys_nor_the_database_s_password_is_anywhere_else(tmp_path: Path) -> None:
    from sqlalchemy import make_url

    from tests.support.postgres import PostgresServer

    with PostgresServer.installed() as postgres:
        url = make_url(postgres.create())
        key, password = new_secret(), "canary/in a+mine"
        database = url.set(password=password).render_as_string(hide_password=False).replace(" ", "%20")
        scrape = "canary-of-metrics"
        env = {**os.environ, "INFERNET_ADMIN_KEY": key, "DATABASE_OF_MINE": database, "METRICS_KEY_OF_MINE": scrape}
        named = {"database": "env:DATABASE_OF_MINE", "metrics": {"key": "env:METRICS_KEY_OF_MINE"}}
        system = Serving(tmp_path, {**MODEL, **named}, env=env)
        try:
            system.wait_until_ready("sim")
            assert system.connection.key == key
            with system.http() as client:
                use(client)
                for token, status in ((scrape, 200), (scrape + "x", 401)):
                    read = client.get("/metrics", headers={"Authorization": f"Bearer {token}"})
                    assert read.status_code == status
            secrets = [key, key.removeprefix("inft_"), password, "canary%2Fin", "canary/in", scrape]
            assert [place for place in places_of(system) if holds(place, secrets)] == [system.state / "connection.json"]
            assert not any(secret in "".join(system.lines) for secret in secrets)
            others = [path for path in files_below(system.state) if path.stat().st_mode & 0o077]
            assert others == []
        finally:
            system.end()
        # What is kept of the run.
        assert [place for place in files_below(system.state) if holds(place, secrets)] == [
            system.state / "connection.json"
        ]


def use(client: httpx.Client) -> None:
    """What goes well and what does not, each with the key."""
    assert client.post("/api/v1/jobs", json=JOB).status_code == 200
    assert client.post("/api/v1/jobs", json={**JOB, "stream": True}).status_code == 200
    assert client.get("/api/v1/jobs/nobody").status_code == 404
    assert client.get("/metrics").status_code == 200
    client.headers["Authorization"] += "x"
    assert client.get("/api/v1/jobs").status_code == 401


def places_of(system: Serving) -> Iterator[Path]:
    """How each process was started, and all files that it writes."""
    for process in system.processes():
        yield Path(f"/proc/{process.pid}/environ")
        yield Path(f"/proc/{process.pid}/cmdline")
    yield from files_below(system.state)
    yield from files_below(Path(system.run))


def files_below(folder: Path) -> Iterator[Path]:
    yield from (path for path in sorted(folder.rglob("*")) if path.is_file())


def holds(place: Path, secrets: list[str]) -> bool:
    try:
        with place.open("rb") as file:
            content = file.read(_MOST_BYTES)
    except (FileNotFoundError, ProcessLookupError):
        return False  # it has ended meanwhile
    return any(secret.encode() in content for secret in secrets)
