"""Dialogues as vLLM renders them, without an engine: `python -m tests.support.vllm_rendering`.

A process of its own, because importing vLLM takes many seconds and leaves much behind. Reads cases from standard input
and answers on standard output.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
from msgspec import Struct

from actors.backends import process_env
from actors.backends.vllm.engine import VllmEngine
from cluster.catalogue import Model
from cluster.conversation import Conversation
from cluster.messages.work import ChatMessage


class Case(Struct, frozen=True):
    """A dialogue for the model in the folder `source`."""

    source: str
    conversation: Conversation
    messages: Sequence[ChatMessage]


class Rendered(Struct, frozen=True):
    """The tokens that vLLM's own server makes of a case, those that our engine makes, or what they say against it.

    `content_format` is what vLLM finds that the template wants.
    """

    content_format: str
    server: Sequence[int] | str
    engine: Sequence[int] | str


class Answer(Struct, frozen=True):
    """One Rendered for each Case, and the names that vLLM has for its parsers."""

    rendered: Sequence[Rendered]
    tool_parsers: frozenset[str]
    reasoning_parsers: frozenset[str]


def render(cases: Sequence[Case]) -> Answer:
    """All cases in one process. Raises CalledProcessError."""
    env = os.environ | process_env(Model("m", gpus=0), 2) | {"VLLM_LOGGING_LEVEL": "CRITICAL"}
    done = subprocess.run(
        [sys.executable, "-m", __name__], input=msgspec.json.encode(cases), stdout=subprocess.PIPE, env=env, check=True
    )
    return msgspec.json.decode(done.stdout, type=Answer)


def _answer(cases: Sequence[Case]) -> Answer:
    from vllm.reasoning import ReasoningParserManager
    from vllm.tool_parsers import ToolParserManager

    renderers = {source: _renderer(source) for source in {case.source for case in cases}}
    return Answer(
        [_rendered(case, *renderers[case.source]) for case in cases],
        frozenset(ToolParserManager.list_registered()),
        frozenset(ReasoningParserManager.list_registered()),
    )


def _renderer(source: str) -> tuple[Any, Any]:
    from vllm.engine.arg_utils import EngineArgs
    from vllm.renderers import renderer_from_config

    config = EngineArgs(model=source, enforce_eager=True).create_engine_config()
    return config.model_config, renderer_from_config(config)


def _rendered(case: Case, model_config: Any, renderer: Any) -> Rendered:
    from vllm.renderers.hf import resolve_chat_template_content_format

    found = resolve_chat_template_content_format(
        case.conversation.chat_template, None, "auto", renderer.get_tokenizer(), model_config=model_config
    )
    return Rendered(found, _by_server(case, model_config, renderer), _by_engine(case, model_config, renderer))


def _by_server(case: Case, model_config: Any, renderer: Any) -> Sequence[int] | str:
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.renderers.online_renderer import OnlineRenderer

    told = case.conversation
    online = OnlineRenderer(
        model_config,
        renderer,
        request_logger=None,
        chat_template=told.chat_template,
        chat_template_content_format=told.content_format,
        default_chat_template_kwargs=dict(told.template_kwargs),
    )
    messages = [{"role": message.role, "content": message.content} for message in case.messages]
    try:
        _, [prompt] = asyncio.run(online.render_chat(ChatCompletionRequest(messages=messages)))
    except Exception as error:  # noqa: BLE001 - it is the answer
        return str(error)
    return list(prompt["prompt_token_ids"])


def _by_engine(case: Case, model_config: Any, renderer: Any) -> Sequence[int] | str:
    inside = SimpleNamespace(
        model_config=SimpleNamespace(get_diff_sampling_param=dict),
        renderer=renderer,
        get_tokenizer=renderer.get_tokenizer,
    )
    try:
        return VllmEngine(inside, case.conversation).tokenise(case.messages)
    except Exception as error:  # noqa: BLE001 - it is the answer
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    output = os.dup(1)
    os.dup2(2, 1)  # vLLM prints
    answer = _answer(msgspec.json.decode(sys.stdin.buffer.read(), type=list[Case]))
    with os.fdopen(output, "wb") as file:
        file.write(msgspec.json.encode(answer))
