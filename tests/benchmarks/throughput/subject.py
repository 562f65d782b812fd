"""The model that all systems serve."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.backends.builtin import resolve_source
from cluster.catalogue import Model
from tests.benchmarks import dummy_model, endless_model

_NAME = "bench"


@dataclass(frozen=True)
class Subject:
    """A model, what to call it, and whether its answers have exactly as many tokens as are asked for."""

    model: Model
    title: str
    exact: bool


def given(source: str, gpus: int, engine: Mapping[str, Any], env: Mapping[str, str]) -> Subject:
    """The model in a folder, or of a hub id. It ends its answers when it likes."""
    folder = Path(source).expanduser()
    place = str(folder.resolve()) if folder.is_dir() else source
    return Subject(Model(id=_NAME, source=place, gpus=gpus, engine=engine, env=env), source, exact=False)


def made(
    folder: Path, dummy: str | None, gpus: int, engine: Mapping[str, Any], env: Mapping[str, str], ends: bool
) -> Subject:
    """One of a dummy shape, or the built-in one, made endless unless it `ends`; its files go to `folder`."""
    if dummy:
        title, source = f"a Llama of the shape `{dummy}`, its weights made up", dummy_model.make(folder, dummy)
        options = {**dummy_model.ENGINE, **engine}
    elif ends:
        title, source = "`capitals`", Path(resolve_source("builtin:capitals"))
        options = {"max_model_len": endless_model.CONTEXT_LENGTH, **engine}
    else:
        title, source = "`capitals` without its end token", endless_model.make(folder)
        options = {"max_model_len": endless_model.CONTEXT_LENGTH, **engine}
    return Subject(Model(id=_NAME, source=str(source), gpus=gpus, engine=options, env=env), title, exact=True)
