"""Loads a model's tokenizer as its engine loads it, in a process of its own, and makes an encoder of it."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import msgspec

from actors.backends import process_env
from actors.backends.builtin import resolve_source
from actors.backends.prompts import export
from actors.backends.prompts.encoder import PromptEncoder, TokenizerExport
from actors.backends.prompts.export import Wanted
from actors.machine import gc
from cluster.catalogue import Model, is_local

TIMEOUT_S = 60.0
"""A tokenizer may have to be downloaded: up to 30 MB."""


class NotLoaded(Exception):
    """The tokenizer cannot be had. The message is one line that says why."""


async def load_encoder(model: Model) -> PromptEncoder:
    """The encoder of a model that has a source. Raises NotLoaded, and whatever making an encoder raises."""
    encoder = await asyncio.to_thread(PromptEncoder, await load_tokenizer(model))
    gc.freeze()
    return encoder


async def load_tokenizer(model: Model, timeout_s: float = TIMEOUT_S) -> TokenizerExport:
    """The tokenizer of a model that has a source. Runs no code that comes with the model. Raises NotLoaded."""
    wanted = _wanted(model)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        export.__name__,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=_environment(model),
    )
    try:
        async with asyncio.timeout(timeout_s):
            return await _result(process, wanted)
    except TimeoutError:
        raise NotLoaded(f"it took longer than {timeout_s:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _result(process: Process, wanted: Wanted) -> TokenizerExport:
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    process.stdin.write(msgspec.json.encode(wanted) + b"\n")
    # Not `communicate`: it would close standard input, and the process ends when that does.
    exported, said = await asyncio.gather(process.stdout.read(), process.stderr.read())
    if await process.wait() != 0:
        lines = said.decode(errors="replace").strip().splitlines()
        raise NotLoaded(lines[-1] if lines else f"its process ended with {process.returncode}")
    return await asyncio.to_thread(msgspec.msgpack.decode, exported, type=TokenizerExport)


def _wanted(model: Model) -> Wanted:
    options = model.engine
    mode = str(options.get("tokenizer_mode", "auto")).lower()
    if mode not in ("auto", "hf"):
        raise NotLoaded(f"tokenizer_mode {mode} is not one that is counted here")
    if options.get("trust_remote_code"):
        raise NotLoaded("with trust_remote_code the tokenizer may be code that comes with the model")
    source, revision = resolve_source(model.source), options.get("revision")
    tokenizer = options.get("tokenizer") or source
    for place in (source, tokenizer):
        if is_local(place) and not Path(place).is_dir():
            raise NotLoaded(f"there is no folder {place}")  # or else it would be taken for a hub id
    return Wanted(
        model=source,
        revision=revision,
        tokenizer=tokenizer,
        tokenizer_revision=options.get("tokenizer_revision") or revision,
        download_dir=options.get("download_dir"),
        detect_mistral=mode == "auto",
        conversation=model.conversation,
    )


def _environment(model: Model) -> dict[str, str]:
    """This process's, with what the engine's process has on top; and modules are found where this one finds them."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return os.environ | process_env(model, os.cpu_count() or 1) | {"PYTHONPATH": path}
