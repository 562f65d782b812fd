"""The two servers, with the same model and the same options."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.backends.builtin import resolve_source
from actors.backends.vllm import structured
from cluster.catalogue import Model
from tests.benchmarks.servers import Infernet, VllmServer
from tests.benchmarks.servers.vllm_server import flags
from tests.differential.answer import Answer, Asker
from tests.differential.case import MODEL, Case, Mode

_PARSERS: Mapping[str, str] = {"tool_call_parser": "hermes", "reasoning_parser": "qwen3"}
# The parser takes it that a model thinks unless it is told not to. This one does not unless it is told to.
_TEMPLATE_KWARGS: Mapping[str, Any] = {"enable_thinking": False}


@dataclass(frozen=True)
class Setting:
    """A model as both servers have it, and whether they parse what it writes."""

    model: str
    source: str
    engine: Mapping[str, Any]
    parsers: bool


WRITER = Setting(MODEL, "builtin:capitals", {"max_num_seqs": 16}, parsers=True)
EMBEDDER = Setting(
    "capitals-embeddings", "builtin:capitals-embeddings", {"runner": "pooling", "convert": "embed"}, parsers=False
)


class OwnServer(VllmServer):
    """vLLM's own server, told all that our engines and our catalogue tell vLLM."""

    def __init__(self, folder: Path, model: Model, parsers: bool) -> None:
        super().__init__(folder, model)
        self._parsers = parsers

    def _command(self) -> Sequence[str]:
        told: dict[str, Any] = {
            "structured_outputs_config": dict(structured.CONFIG),
            "enable_prompt_tokens_details": True,
        }
        if self._parsers:
            told |= {
                **_PARSERS,
                "enable_auto_tool_choice": True,
                "default_chat_template_kwargs": dict(_TEMPLATE_KWARGS),
            }
        return [*super()._command(), *flags(told)]


@dataclass(frozen=True)
class Place:
    """Where a server is, and the key that it wants."""

    url: str
    key: str | None = None


@dataclass(frozen=True)
class Both:
    """Clients of vLLM's server and of ours."""

    theirs: Asker
    ours: Asker

    def ask(self, case: Case, mode: Mode) -> tuple[Answer, Answer]:
        """vLLM's answer and ours, one after the other."""
        return self.theirs.ask(case, mode), self.ours.ask(case, mode)


@contextmanager
def both(folder: Path, setting: Setting, theirs: Place | None = None, ours: Place | None = None) -> Iterator[Both]:
    """The servers that are there, and in `folder` those that are not, until the context closes.

    Raises ChildProcessError when one does not start.
    """
    with ExitStack() as stack:
        if theirs is None:
            theirs = Place(stack.enter_context(vllms_server(folder, setting)).url)
        if ours is None:
            started = stack.enter_context(our_server(folder, setting))
            ours = Place(started.url, started.key)
        yield Both(stack.enter_context(Asker(theirs.url)), stack.enter_context(Asker(ours.url, ours.key)))


def vllms_server(folder: Path, setting: Setting) -> VllmServer:
    """vLLM's own, with its files in a folder of this one."""
    model = Model(id=setting.model, source=resolve_source(setting.source), gpus=0, engine=setting.engine)
    return OwnServer(folder / "vllm", model, setting.parsers)


def our_server(folder: Path, setting: Setting) -> Infernet:
    """This system, with its files in a folder of this one."""
    parsers = _PARSERS if setting.parsers else {}
    entry = {"id": setting.model, "source": setting.source, "gpus": 0, "engine": {**setting.engine, **parsers}}
    if setting.parsers:
        entry["chat_template_kwargs"] = dict(_TEMPLATE_KWARGS)
    return Infernet(folder / "infernet", [entry], ingress_replicas=1)
