"""vLLM's own front end: its requests, its renderer and its parsers, as its HTTP server puts them together.

The one place that knows them. They are of vLLM 0.29 and no stable interface: `tests/differential` compares what comes
of them with what vLLM's own server answers. vLLM is imported when the first is made.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

from msgspec import Struct

from actors.backends.marked import Meant
from actors.backends.vllm.media import given
from actors.backends.vllm.structured import Constraint
from cluster.conversation import Conversation
from cluster.messages.marks import Called, FinishReason, TextKind, Whole
from cluster.text.choices import ChoiceOutput

log = logging.getLogger(__name__)


class RequestRefused(Exception):
    """vLLM does not take a request. The message says why, in words for the client who made it, its field first."""

    def __init__(self, reason: str, field: str | None = None) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)


class Asked(Struct, frozen=True):
    """A request as vLLM's server would hand it to its engine.

    `inputs` has one engine input for each prompt, `prompts` the tokens of each and `texts` its text, nothing where that
    was not needed. `parsing` is how answers are
    parsed, None where they are not. `constraint` is what a tool's parser demands of the answer, `skip_special_tokens`
    False where it must see them. `last_message` is what an answer that echoes it begins with.
    """

    inputs: tuple[Any, ...]
    prompts: tuple[tuple[int, ...], ...]
    texts: tuple[str, ...]
    parsing: "Parsing | None" = None
    constraint: Constraint | None = None
    skip_special_tokens: bool = True
    last_message: str = ""


class Frontend:
    """The front end of one engine, used by one thread."""

    def __init__(self, engine: Any, conversation: Conversation) -> None:
        from vllm.renderers.online_renderer import OnlineRenderer

        self._model_config = engine.model_config
        self._tokenizer = engine.get_tokenizer()
        self._loop = asyncio.new_event_loop()
        self._conversation = conversation
        self._renderer = OnlineRenderer(
            engine.model_config,
            engine.renderer,
            request_logger=None,
            chat_template=conversation.chat_template or None,
            chat_template_content_format=conversation.content_format,
            enable_auto_tools=bool(conversation.tool_call_parser),
            exclude_tools_when_tool_choice_none=conversation.exclude_tools_when_tool_choice_none,
            tool_parser=conversation.tool_call_parser or None,
            reasoning_parser=conversation.reasoning_parser or None,
            default_chat_template_kwargs=dict(conversation.template_kwargs),
        )

    def close(self) -> None:
        self._loop.close()

    def chat(self, body: Mapping[str, Any], prompt_ids: Sequence[int] = (), media: Sequence[bytes] = ()) -> Asked:
        """What this chat request asks. With `prompt_ids` its prompt is not rendered again. Raises RequestRefused.

        What it names of `media` is rendered anew each time: tokens do not tell what was seen.
        """
        from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

        request = _validated(ChatCompletionRequest, body)
        if prompt_ids and not request.echo and not media:  # vLLM takes them from there
            request.kv_transfer_params = {"prompt_token_ids": list(prompt_ids)}
        with given(media):
            # vLLM remembers what it has sent its engine of media: not all that is rendered here is sent there.
            dialogue, (inputs,) = self._rendered(self._renderer.render_chat(request, skip_mm_cache=True))
        prompt = tuple(inputs["prompt_token_ids"])
        return Asked(
            inputs=(inputs,),
            prompts=(prompt,),
            texts=_texts((inputs,)),
            parsing=self._parsing(request, prompt),
            constraint=_constraint(request.structured_outputs if request.response_format is None else None),
            skip_special_tokens=request.skip_special_tokens,
            last_message=_echoed(request, dialogue),
        )

    def completion(self, body: Mapping[str, Any]) -> Asked:
        """What this completion request asks. Raises RequestRefused."""
        from vllm.entrypoints.openai.completion.protocol import CompletionRequest

        request = _validated(CompletionRequest, body)
        inputs = self._rendered(self._renderer.render_completion(request))
        most = max(self._tokenizer.max_token_id, self._model_config.get_vocab_size() - 1)
        for each in inputs:
            if (highest := max(each["prompt_token_ids"], default=0)) > most:  # vLLM's engine would say it later
                raise RequestRefused(f"Token id {highest} is out of vocabulary", "prompt")
        return Asked(tuple(inputs), tuple(tuple(each["prompt_token_ids"]) for each in inputs), _texts(inputs))

    def tokens(self, body: Mapping[str, Any]) -> Asked:
        """What a dialogue becomes that is to be tokenised, and not answered. Raises RequestRefused."""
        from vllm.entrypoints.serve.tokenize.protocol import TokenizeChatRequest

        request = _validated(TokenizeChatRequest, body)
        tools = None if request.tools is None else [tool.model_dump() for tool in request.tools]
        _, inputs = self._rendered(
            self._renderer.preprocess_chat(
                request,
                request.messages,
                default_template=self._conversation.chat_template or None,
                default_template_content_format=self._conversation.content_format,
                default_template_kwargs=dict(self._conversation.template_kwargs),
                tool_dicts=tools,
                skip_mm_cache=True,
            )
        )
        return Asked(tuple(inputs), tuple(tuple(each["prompt_token_ids"]) for each in inputs), _texts(inputs))

    def _rendered(self, rendering: Any) -> Any:
        """What vLLM's renderer makes. Raises RequestRefused with its reason, which may be what is not installed."""
        from jinja2 import TemplateError
        from vllm.entrypoints.serve.engine.protocol import ErrorResponse
        from vllm.exceptions import VLLMValidationError

        try:
            made = self._loop.run_until_complete(rendering)
        except (VLLMValidationError, ValueError, TypeError, TemplateError, ImportError) as error:
            said = reason(error).replace(str(self._model_config.model), "this model")  # it may be a folder of ours
            raise RequestRefused(said, getattr(error, "parameter", None)) from error
        if isinstance(made, ErrorResponse):
            raise RequestRefused(made.error.message, made.error.param)
        return made

    def _parsing(self, request: Any, prompt: tuple[int, ...]) -> "Parsing | None":
        parser = self._renderer.parser
        if parser is None:
            return None
        kwargs = request.build_chat_params(None, self._conversation.content_format)
        settings = {
            "chat_template_kwargs": kwargs.with_defaults(dict(self._conversation.template_kwargs)).chat_template_kwargs,
            "model_config": self._model_config,
        }
        return Parsing(parser, self._tokenizer, request, prompt, settings)


class Parsing:
    """How the answers to one request are parsed."""

    def __init__(
        self, parser: Any, tokenizer: Any, request: Any, prompt: tuple[int, ...], settings: Mapping[str, Any]
    ) -> None:
        self._make: Callable[[], Any] = partial(parser, tokenizer, request.tools, **settings)
        self._thinks = parser.reasoning_parser_cls is not None
        self._request = request
        self._prompt = prompt
        self._settings = settings

    @property
    def hides_thoughts(self) -> bool:
        return not self._request.include_reasoning

    def interpreter(self) -> "ParsedAnswer":
        """For one choice."""
        return ParsedAnswer(self._make, self._request, self._prompt)

    @property
    def reasoning_kwargs(self) -> dict[str, Any] | None:
        """What the engine's own reasoning parser is to be told; None where the model does not think."""
        if not self._thinks:
            return None
        return {"chat_template_kwargs": dict(self._settings["chat_template_kwargs"])}

    def free_tokens(self, token_ids: Sequence[int]) -> int | None:
        """How many of an answer's first tokens, of these, are free of its grammar: thoughts. None while it thinks."""
        if not self._thinks or not self._request.include_reasoning:
            return 0
        parser = self._make()
        if self._request._grammar_from_parser or parser.is_reasoning_end(list(self._prompt)):
            return 0
        if not parser.is_reasoning_end([*self._prompt, *token_ids]):
            return None
        return len(token_ids) - len(parser.extract_content_ids(list(token_ids)))


class ParsedAnswer:
    """One choice's answer, read by vLLM's parser of it: as it comes, and in the end as a whole."""

    def __init__(self, make: Callable[[], Any], request: Any, prompt: tuple[int, ...]) -> None:
        self._make = make
        self._parser = make()
        self._request = request
        self._prompt = list(prompt)
        self._ids: dict[int, str] = {}
        self._is_named = not isinstance(request.tool_choice, (str, type(None)))
        self._one_call = request.parallel_tool_calls is False
        self._texts: list[str] = []
        self._token_ids: list[int] = []
        self._told: list[Meant] = []

    def read(self, text: str, token_ids: Sequence[int], finished: bool) -> Sequence[Meant]:
        self._texts.append(text)
        self._token_ids += token_ids
        delta = self._parser.parse_delta(text, list(token_ids), self._request, self._prompt, finished=finished)
        meant = [] if delta is None else self._meant(delta)
        self._told += meant
        return meant

    def _meant(self, delta: Any) -> list[Meant]:
        meant = [Meant("reasoning", delta.reasoning or ""), Meant("content", delta.content or "")]
        for call in delta.tool_calls or ():
            if self._one_call and call.index > 0:
                continue
            meant += self._called(call)
        return [each for each in meant if each.text]

    def _called(self, call: Any) -> list[Meant]:
        from vllm.entrypoints.chat_utils import make_tool_call_id

        tool_call_id = self._ids.setdefault(call.index, call.id or make_tool_call_id())
        name, arguments = (call.function.name, call.function.arguments) if call.function else (None, None)
        said = Meant("tool", name or "", call.index, tool_call_id)
        return [said, Meant("arguments", arguments or "", call.index, tool_call_id)]

    def goes_on_from(self, had: ChoiceOutput) -> None:
        """The calls that have been told keep their ids."""
        for segment in had.segments:
            if segment.turn.id:
                self._ids[segment.turn.call] = segment.turn.id

    def reasoning_tokens(self, token_ids: Sequence[int]) -> int | None:
        if self._parser.reasoning_parser is None:
            return None
        return int(self._parser.count_reasoning_tokens(token_ids))

    def finish_reason(self, reason: FinishReason) -> FinishReason:
        return "tool_calls" if self._ids and not self._is_named else reason

    def whole(self, reason: FinishReason) -> Whole | None:
        """A parser that fails on the whole has read it as a stream: what that told counts."""
        told = self._told_whole(reason)
        try:
            read = self._read_whole(reason)
        except Exception as error:  # noqa: BLE001 - each parser has its own
            log.warning("an answer that was told could not be parsed as a whole (%s)", type(error).__name__)
            return None
        return None if read == told else read

    def _told_whole(self, reason: FinishReason) -> Whole:
        """What has been told, put together."""
        of_kind = {kind: "".join(each.text for each in self._told if each.kind == kind) for kind in _SAID}
        calls = tuple(
            Called(tool_call_id, self._of_call("tool", number), self._of_call("arguments", number))
            for number, tool_call_id in sorted(self._ids.items())
        )
        content, reasoning = (of_kind[kind] or None for kind in _SAID)
        return Whole(0, 0, content, reasoning, calls, self.finish_reason(reason))

    def _of_call(self, kind: TextKind, number: int) -> str:
        return "".join(each.text for each in self._told if each.kind == kind and each.call == number)

    def _read_whole(self, reason: FinishReason) -> Whole:
        """As vLLM's server does where it does not stream."""
        request, parser = self._request, self._make()
        calls_by_itself = parser.tool_parser_cls is not None
        reasoning, content, found = parser.parse(
            "".join(self._texts), request, enable_auto_tools=calls_by_itself, model_output_token_ids=self._token_ids
        )
        is_forced = self._is_named or request.tool_choice == "required"
        by_itself = calls_by_itself and request.tools and request.tool_choice == "auto"
        calls = self._called_in_whole(found) if is_forced or by_itself else ()
        must_call = request.tool_choice == "required" and reason == "stop"
        return Whole(
            content=content or None,
            reasoning=(reasoning or None) if request.include_reasoning else None,
            calls=calls[:1] if self._one_call else calls,
            finish_reason="tool_calls" if must_call or (by_itself and calls) else reason,
        )

    def _called_in_whole(self, found: Sequence[Any] | None) -> tuple[Called, ...]:
        from vllm.entrypoints.chat_utils import make_tool_call_id

        return tuple(
            Called(self._ids.get(number) or call.id or make_tool_call_id(), call.name, call.arguments)
            for number, call in enumerate(found or ())
        )


_SAID: Sequence[TextKind] = ("content", "reasoning")


def _texts(inputs: Sequence[Any]) -> tuple[str, ...]:
    return tuple(each.get("prompt") or "" for each in inputs)


def _constraint(params: Any) -> Constraint | None:
    """What a tool's parser asks for with vLLM's StructuredOutputsParams."""
    if params is None:
        return None
    said = {each.name: getattr(params, each.name) for each in fields(params) if each.init}
    return Constraint({name: value for name, value in said.items() if value is not None})


def _validated(kind: Any, body: Mapping[str, Any]) -> Any:
    from pydantic import ValidationError
    from vllm.exceptions import VLLMValidationError

    try:
        return kind(**body)
    except ValidationError as error:
        raise RequestRefused(validation_reason(error)) from error
    except VLLMValidationError as error:
        raise RequestRefused(reason(error), error.parameter) from error


def validation_reason(error: Any) -> str:
    """The first thing that is wrong, its field first."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"] if isinstance(part, int) or part.isidentifier())
    return f"{place}: {first['msg']}" if place else str(first["msg"])


def reason(error: Exception) -> str:
    return " ".join(str(error.args[0] if error.args else error).split())


def _echoed(request: Any, dialogue: Any) -> str:
    """The text of the last message, where the answer is to go on from it in the same role."""
    role = "assistant" if request.add_generation_prompt else request.messages[-1]["role"]
    if not request.echo or not dialogue or dialogue[-1].get("role") != role:
        return ""
    content = dialogue[-1].get("content") or ""
    return content if isinstance(content, str) else "\n".join(part["text"] for part in content)


def body_of(form: str) -> dict[str, Any]:
    """A form's body."""
    body: dict[str, Any] = json.loads(form)
    return body
