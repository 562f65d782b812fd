"""The Ray cluster that is to be joined: whether it can be reached and joined from here, and what it has."""

import json
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from api.cli.doctor.findings import Finding, fault, ok, warning
from api.cli.doctor.subject import Subject

_AREA = "cluster"
_PROGRAM = "api.cli.run.ray_told"
_WAIT_S = 20.0
_ANY = "auto"
_SAME = "Ray lets nobody join who has another: install the same one here, or start the cluster anew with this one"
_CURES: Mapping[str, str] = {
    "not found": "start one with `ray start --head`, or give its address as HOST:PORT",
    "unreachable": "see whether the head runs there, and whether a firewall is between; 6379 is the usual port",
    "token": "give the cluster's: RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH with its file",
    "no answer": "see whether it is a Ray's head that listens there, and not its dashboard or another program",
}


def look(subject: Subject) -> Iterator[Finding]:
    """Nothing where no cluster is named: one of this machine's own is started then."""
    if subject.ray_address is None:
        return
    told = asked(subject.ray_address)
    named = told.get("address", _ANY) if subject.ray_address == _ANY else subject.ray_address
    if "problem" in told:
        yield fault(_AREA, f"{named} cannot be asked: {told['problem']}", _CURES[told["kind"]])
        return
    yield from _versions(named, told)
    yield from _machines(named, told)
    yield from _models(subject, told)


def asked(address: str) -> dict[str, Any]:
    """What `ray_told` tells of the cluster there."""
    command = [sys.executable, "-m", _PROGRAM, address]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_WAIT_S, check=False)
    except subprocess.TimeoutExpired:
        return {"problem": f"that takes longer than {_WAIT_S:.0f} s", "kind": "no answer"}
    if done.returncode == 0:
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return told
    said = [line for line in done.stderr.splitlines() if line.strip()]
    return {"problem": said[-1].strip() if said else f"exit code {done.returncode}", "kind": "no answer"}


def _versions(named: str, told: Mapping[str, Any]) -> Iterator[Finding]:
    own_python = platform.python_version()
    if told["ray"] != told["own_ray"]:
        yield fault(_AREA, f"{named} runs Ray {told['ray']}, and this is {told['own_ray']}", _SAME)
    if told["python"] != own_python:
        yield fault(_AREA, f"{named} runs Python {told['python']}, and this is {own_python}", _SAME)
    if (told["ray"], told["python"]) == (told["own_ray"], own_python):
        yield ok(_AREA, f"{named} answers: Ray {told['ray']}, Python {told['python']}, as here")


def _machines(named: str, told: Mapping[str, Any]) -> Iterator[Finding]:
    total, free = told["total"], told["free"]
    gone = f", and {told['gone']} that left" if told["gone"] else ""
    of = {kind: f"{free.get(kind, 0):g} of {total.get(kind, 0):g} {kind}s" for kind in ("CPU", "GPU")}
    has = f"{of['CPU']} and {of['GPU']} are free"
    machines = "1 machine" if told["machines"] == 1 else f"{told['machines']} machines"
    if not total.get("CPU"):
        yield fault(_AREA, f"{machines}{gone}: no CPU to run on", "`ray start` on one, without --num-cpus=0")
    else:
        yield ok(_AREA, f"{machines}{gone}: {has}")
    if not told["is_here"]:
        cure = f"`ray start --address={named}` here, or run `infernet` on one of its machines"
        yield fault(_AREA, "this machine is none of them: a driver joins by the Ray of its own machine", cure)


def _models(subject: Subject, told: Mapping[str, Any]) -> Iterator[Finding]:
    for model in subject.settings.models if subject.settings else ():
        if model.gpus > told["most_gpus"]:
            said = (
                f"model {model.id} wants {model.gpus} GPUs of a machine, and none has more than {told['most_gpus']:g}"
            )
            yield warning(_AREA, said, "it waits until one joins; or write fewer under `gpus` of the model")
