"""What every API lets a client say of a dialogue and its answer beyond texts: vLLM's fields of chat requests.

What is said in them goes to the model's engine as it was sent, in the body of a `Form`: vLLM's own front end reads,
renders and judges it. Here is looked at only what no model could mean.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from pydantic import AfterValidator, Field, WithJsonSchema, model_serializer, model_validator
from pydantic_core import PydanticCustomError

from api.http.bodies import INT64, AnyText, Request, Text, without_nul
from api.http.body_hash import LATER
from api.http.heeded import heeded
from api.http.media import take_media
from api.http.sampling import JUDGED, SamplingFields
from cluster.errors import BadRequest
from cluster.messages.media import Given
from cluster.messages.work import ChatMessage, Form, Role

Object = dict[str, Any]


def _content(content: Any) -> Any:
    """A text, or parts, of which those that are texts have one each."""
    match content:
        case None | []:
            return content
        case str():
            return without_nul(content)
        case [*_] if all(isinstance(part, dict) and part.get("type") for part in content):
            if not _are_texts(content) or all(_has_text(part) for part in content):
                return content
    raise PydanticCustomError("content", "must be a text, or a list of parts; those of type text have a text each")


def _not_empty(content: Any) -> Any:
    if content == []:
        raise PydanticCustomError("no_parts", "must have a part")
    return content


def _are_texts(parts: list[Any]) -> bool:
    return all(part["type"] == "text" for part in parts)


def _has_text(part: Mapping[str, Any]) -> bool:
    text = part.get("text")
    return isinstance(text, str) and "\0" not in text


_TEXT = {"type": "string", "pattern": r"^[^\u0000]*$"}
_PART = {"type": "object", "properties": {"type": {"type": "string", "minLength": 1}}, "required": ["type"]}
_PARTS: dict[str, Any] = {"type": "array", "items": _PART}
_CONTENT = {"anyOf": [_TEXT, _PARTS, {"type": "null"}]}
_SOME_CONTENT = {"anyOf": [_TEXT, {**_PARTS, "minItems": 1}, {"type": "null"}]}
Content = Annotated[Any, AfterValidator(_content), WithJsonSchema(_CONTENT)]
SomeContent = Annotated[Any, AfterValidator(_content), AfterValidator(_not_empty), WithJsonSchema(_SOME_CONTENT)]
_TEXT_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
"""The roles whose texts every model understands, and as which."""
_EARLIER_REASONING = "reasoning_content"
_MORE = ("tool_calls", "tool_call_id", "reasoning")


class AnyMessage(Request):
    """One turn of the dialogue: a text, or parts, and what an assistant called or a tool answered."""

    hashed: ClassVar[Collection[str]] = ("role", "content")

    role: Annotated[Text, Field(description="system, developer, user, assistant, tool, or another of the template's")]
    content: Content = None
    name: AnyText | None = None
    tool_calls: list[Object] | None = None
    tool_call_id: AnyText | None = None
    reasoning: AnyText | None = None

    @model_validator(mode="before")
    @classmethod
    def _heeded(cls, body: Any) -> Any:
        """The message, of which vLLM knows the thoughts by an earlier name, too."""
        if isinstance(body, dict) and (thoughts := body.get(_EARLIER_REASONING)) is not None:
            said = {name: value for name, value in body.items() if name != _EARLIER_REASONING}
            body = said if body.get("reasoning") is not None else {**said, "reasoning": thoughts}
        return heeded(body, cls.model_fields)

    @model_serializer(mode="wrap")
    def _without_what_is_not_said(self, serialise: Any) -> Any:
        """Hashes of bodies are taken of this: what few messages have is no part of those of the others."""
        said = serialise(self) | {"content": self.content if self.text is None else self.text}
        return {key: value for key, value in said.items() if value or key in self.hashed}

    @property
    def text(self) -> str | None:
        """The content as one text, where it is: parts that are texts, each on a line of its own."""
        if isinstance(self.content, list) and _are_texts(self.content):
            return "\n".join(part["text"] for part in self.content)
        return self.content if isinstance(self.content, str) else None

    def message(self) -> ChatMessage:
        """As a text of one of the roles that every model knows."""
        return ChatMessage(_TEXT_ROLES.get(self.role, "user"), self.text or "")

    @property
    def more_than_text(self) -> str:
        """The field that no text of a role that all models know can say; nothing where one can."""
        if self.role not in _TEXT_ROLES:
            return "role"
        more = next((name for name in _MORE if getattr(self, name)), "")
        return more or ("content" if self.text is None else "")

    @property
    def is_plain(self) -> bool:
        """Whether all there is of it is one text of such a role."""
        is_one_text = isinstance(self.content, str) or (self.content is not None and len(self.content) == 1)
        return self.role != "developer" and is_one_text and not self.name


class DialogueMessage(AnyMessage):
    """One turn of the dialogue, of a role that is known."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: SomeContent = None


class DialogueFields(SamplingFields):
    """vLLM's fields of a chat request. Its front end says what those of the dialogue mean, and refuses."""

    tools: Annotated[list[Object] | None, LATER] = None
    tool_choice: Annotated[str | Object | None, LATER] = None
    parallel_tool_calls: Annotated[bool | None, LATER] = None
    chat_template_kwargs: Annotated[Object, LATER] = Field(default_factory=dict)
    continue_final_message: Annotated[bool, LATER] = False
    add_generation_prompt: Annotated[bool, LATER] = True
    add_special_tokens: Annotated[bool, LATER] = False
    documents: Annotated[list[Object], LATER] = Field(default_factory=list)
    reasoning_effort: Annotated[str | None, LATER] = None
    include_reasoning: Annotated[bool, LATER] = True
    echo: Annotated[bool, LATER] = False
    return_prompt_text: Annotated[bool, LATER] = False
    mm_processor_kwargs: Annotated[Object, LATER] = Field(default_factory=dict)
    media_io_kwargs: Annotated[Object, LATER] = Field(default_factory=dict)
    truncate_prompt_tokens: Annotated[int | None, LATER] = None
    truncation_side: Annotated[Literal["left", "right"] | None, LATER] = None
    cache_salt: Annotated[Text | None, LATER] = None
    structured_outputs: Annotated[Object | None, LATER] = None

    logprobs: Annotated[bool, LATER] = False
    top_logprobs: Annotated[Annotated[int, Field(ge=-1, le=INT64)] | None, LATER] = None

    def asks_more(self) -> list[str]:
        """The fields that ask for more than an answer to texts."""
        fields = {name: field.get_default(call_default_factory=True) for name, field in _FIELDS.items()}
        return [name for name, default in fields.items() if getattr(self, name) not in (default, _HARMLESS.get(name))]

    def more_options(self) -> dict[str, Any]:
        """What is said here of how tokens are drawn, by the names of vLLM's `SamplingParams`.

        Raises BadRequest for fields that contradict each other.
        """
        if self.top_logprobs and not self.logprobs:
            raise BadRequest("top_logprobs: when using this, logprobs must be true")
        if self.logprob_token_ids and not self.logprobs:
            raise BadRequest("logprob_token_ids: when using this, logprobs must be true")
        options: dict[str, Any] = {}
        if self.structured_outputs is not None:
            options["structured_outputs"] = self.structured_outputs
        if self.logprobs and not self.logprob_token_ids:
            options["logprobs"] = self.top_logprobs or 0
        if self.echo and self.prompt_logprobs is None:
            options["prompt_logprobs"] = self.top_logprobs or 0  # vLLM tells them of what it echoes
        return options


_HARMLESS = {"tool_choice": "none"}
_NOTHING_ALONE = ("parallel_tool_calls", "truncation_side", "cache_salt", "logprobs", "top_logprobs")
"""Fields that mean nothing without others, or are told with the sampling."""
_OWN = [name for name in DialogueFields.model_fields if name not in SamplingFields.model_fields]
_FIELDS = {name: DialogueFields.model_fields[name] for name in _OWN if name not in _NOTHING_ALONE}
_HINTS = {"reasoning_effort", "include_reasoning"}
"""Of a model that does not think they change nothing."""

_FORM_FIELDS = ("messages", *_OWN, "response_format", "skip_special_tokens")


def form_of(
    request: DialogueFields, messages: Sequence[AnyMessage], body: bytes, options: Iterable[str]
) -> tuple[Form | None, list[Given]]:
    """What an engine is asked where that is more than a dialogue of texts, from the body as it was sent.

    And the pictures and sounds that it names by number. `options` are the names of what is said of how tokens are
    drawn. Raises BadRequest for a part that cannot be taken.
    """
    asked = request.asks_more()
    needs = [name for name in asked if name not in _HINTS] + sorted(JUDGED.intersection(options))
    if request.n > 1:
        needs.append("n")
    more = enumerate(message.more_than_text for message in messages)
    needs += [f"messages[{number}].{field}" for number, field in more if field]
    if not needs and not asked and all(message.is_plain for message in messages):
        return None, []
    sent: dict[str, Any] = msgspec.json.decode(body)
    said = {name: sent[name] for name in _FORM_FIELDS if sent.get(name) is not None}
    media = take_media(said["messages"])
    if "tool_choice" in sent:  # to vLLM, null is another choice than none said
        said["tool_choice"] = sent["tool_choice"]
    return Form("chat", msgspec.json.encode(said).decode(), needs[0] if needs else ""), media
