"""A real job, as small as one can be: the only proof that a system works."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx

from api.cli.client import Client
from api.cli.doctor.findings import Finding, fault, ok, warning
from api.cli.responses import Json, RemoteError

_AREA = "job"
_TINY = {"messages": [{"role": "user", "content": "What is the capital of France?"}], "max_tokens": 8}
_WAIT_S = 60
_SLACK_S = 5.0


def run(client: Client) -> Iterator[Finding]:
    """Ask the server, and have it do a job. Raises nothing that is the server's doing."""
    try:
        ready = client.ready()
        models = client.models(all=True)["models"]
    except (RemoteError, httpx.HTTPError) as error:
        yield fault("server", f"{client.url}: {error}", _cure(error))
        return
    yield from _clocks(client)
    if not ready:
        cure = (
            "`infernet status` and `infernet models` tell why; so does infernet.log (`infernet logs --level warning`)"
        )
        yield fault("server", f"{client.url} answers, and is not ready", cure)
        return
    yield ok("server", f"{client.url} is ready")
    yield from _models(models)
    yield _done(client, [str(model["id"]) for model in models if model.get("state") == "ready"])


def _clocks(client: Client) -> Iterator[Finding]:
    off_s = (client.server_time() - datetime.now(UTC)).total_seconds()
    if abs(off_s) > _SLACK_S:
        said = f"the server's clock is {abs(off_s):,.0f} s {'ahead of' if off_s > 0 else 'behind'} this machine's"
        yield warning("clock", said, "keep both: `timedatectl set-ntp true`, or run chrony")


def _models(models: list[Json]) -> Iterator[Finding]:
    for model in models:
        if model.get("state") == "failed":
            said = f"model {model.get('id')} failed: {model.get('state_message')}"
            yield fault("models", said, "see to what vLLM says; it is tried again by itself")


def _done(client: Client, models: list[str]) -> Finding:
    if not models:
        return warning(
            _AREA, "no model is ready, so that none was tried", "`infernet models` tells what each waits for"
        )
    refusals = ""
    for model in models:
        began_s = time.monotonic()
        try:
            job = client.job(client.submit({"model": model, **_TINY})["id"], wait=_WAIT_S)
        except RemoteError as error:
            # One that generates no text refuses it; another may not.
            refusals = f"{model}: {error}"
            continue
        except httpx.HTTPError as error:
            return fault(_AREA, f"its answer was lost: {error or type(error).__name__}", "look at the network between")
        return _judged(job, time.monotonic() - began_s)
    return fault(_AREA, f"none was accepted; {refusals}", "see to what the refusal says")


def _judged(job: Json, took_s: float) -> Finding:
    name = f"{job['id']} of model {job.get('model')}"
    if job["status"] == "completed":
        tokens = job.get("result", {}).get("usage", {}).get("completion_tokens")
        return ok(_AREA, f"{name} was completed in {took_s:.1f} s: {tokens} tokens")
    if job["status"] == "failed":
        said = f"{name} failed: {job.get('error_message')} ({job.get('error')})"
        return fault(_AREA, said, f"`infernet explain {job['id']}` tells where it ran")
    said = f"{name} has not ended within {_WAIT_S} s"
    return fault(_AREA, said, f"`infernet explain {job['id']}` tells what it waits for")


def _cure(error: RemoteError | httpx.HTTPError) -> str:
    if isinstance(error, RemoteError) and error.status == httpx.codes.UNAUTHORIZED:
        return "give a key of this system: --key or INFERNET_KEY"
    return "see whether `infernet up` runs there, and what is between here and there"
