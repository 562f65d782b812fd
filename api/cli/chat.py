"""`infernet chat`: one question, its answer as it is written."""

import sys
from collections import deque
from collections.abc import Iterable
from contextlib import closing, suppress
from typing import Annotated

import httpx
import typer

from api.cli import completing
from api.cli.client import Client, connect
from api.cli.options import KeyOption, StateOption, UrlOption
from api.cli.render import show_json, usage_line
from api.cli.responses import Json, RemoteError, Said
from cluster.errors import NoCapacity

# The record of a job may trail the end of its stream by a moment.
_RECORD_WAIT_S = 5


def chat(
    prompt: Annotated[str, typer.Argument(metavar="TEXT", help="What to ask.")],
    model: Annotated[
        str | None, typer.Option("--model", help="Default: the first that is ready.", autocompletion=completing.models)
    ] = None,
    system: Annotated[str | None, typer.Option("--system", help="How the model should behave.")] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", help="Longest answer, in tokens.")] = None,
    temperature: Annotated[float | None, typer.Option("--temperature", help="From 0 to 2.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Makes sampling repeatable.")] = None,
    thinking: Annotated[
        bool | None, typer.Option("--think/--no-think", help="Whether to think first, for models that can do both.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the ended job as the API's JSON.")] = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Ask a model and print its answer as it is written."""
    with connect(url, key, state) as client:
        variables = None if thinking is None else {"enable_thinking": thinking}
        options = {
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
            "chat_template_kwargs": variables,
        }
        body = {
            "model": model or _first_ready(client),
            "messages": _messages(prompt, system),
            **{name: value for name, value in options.items() if value is not None},
        }
        # Submitted apart from its stream, the job has an id from the first moment: any break can be mended.
        job_id = client.submit(body)["id"]
        try:
            if as_json:
                _print_job(client, job_id)
            else:
                _print_text(client, job_id)
        except (KeyboardInterrupt, BrokenPipeError):
            # Nobody else knows of this job: its tokens would be paid for and never read.
            with suppress(RemoteError, httpx.HTTPError):
                client.cancel(job_id)
            raise


def _first_ready(client: Client) -> str:
    ready = client.models()["models"]
    if not ready:
        raise NoCapacity("No model is ready: name one with --model (`infernet models` lists them)")
    return str(ready[0]["id"])


def _messages(prompt: str, system: str | None) -> list[Json]:
    instruction = [{"role": "system", "content": system}] if system is not None else []
    return [*instruction, {"role": "user", "content": prompt}]


def _print_text(client: Client, job_id: str) -> None:
    with closing(client.hear(job_id)) as said:
        _print_said(said)
    if sys.stderr.isatty():
        # The answer is out: a record that cannot be had is no failure.
        with suppress(RemoteError, httpx.HTTPError, KeyError):
            print(usage_line(client.job(job_id, wait=_RECORD_WAIT_S)), file=sys.stderr)


def _print_said(said: Iterable[Said]) -> None:
    """The answer alone is printed. What the model thinks meanwhile is shown where somebody looks on."""
    last = ""
    try:
        for kind, text in said:
            if kind == "text":
                print(text, end="", flush=True)
                last = text
            elif sys.stderr.isatty():
                typer.secho(text, dim=True, nl=False, err=True)
    finally:
        if not last.endswith("\n"):
            print(flush=True)


def _print_job(client: Client, job_id: str) -> None:
    try:
        deque(client.follow(job_id), maxlen=0)
    except RemoteError as error:
        # A failed job is an answer too; a refusal is not.
        if error.status is not None:
            raise
    job = client.job(job_id, wait=_RECORD_WAIT_S)
    show_json(job)
    if job["status"] != "completed":
        raise typer.Exit(1)
