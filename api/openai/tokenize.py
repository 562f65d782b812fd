"""vLLM's routes for the tokens of a text or a dialogue, and back. They are where vLLM's own server has them."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, NotRequired, TypeVar

import msgspec
from fastapi import APIRouter, Response
from pydantic import Field
from typing_extensions import TypedDict

from actors.backends.prompts.encoder import PromptEncoder, PromptRefused
from api.http.answers import Answer
from api.http.bodies import AnyText, Text, parse
from api.http.dependencies import Body, Caller, CurrentGateway
from api.http.dialogue import Object
from api.http.heeded import HeededRequest
from api.http.openapi import GUARDED, errors, takes
from api.openai.error_shape import OpenAIError
from api.openai.requests import ChatCompletionMessage
from api.openai.unsupported import Refused
from api.replica.gateway import Gateway
from api.replica.intake import permitted
from cluster.catalogue import Model
from cluster.errors import BadRequest, Forbidden, ModelNotFound, NoCapacity, PayloadTooLarge
from cluster.messages.people import Principal
from cluster.messages.work import Form, Sampling

T = TypeVar("T")

_MOST_ID = 2**32 - 1

router = APIRouter(tags=["openai"], responses=errors(*GUARDED, body=OpenAIError))
_REFUSALS = errors(BadRequest, Forbidden, ModelNotFound, PayloadTooLarge, NoCapacity, body=OpenAIError)


class TokenizeRequest(HeededRequest):
    """Either a `prompt` or `messages`. Special tokens are added to a prompt, and not to what a chat template made."""

    model: Annotated[Text | None, Field(description="Needed where there are several")] = None
    prompt: AnyText | None = None
    messages: Annotated[list[ChatCompletionMessage], Field(min_length=1)] | None = None
    add_special_tokens: bool | None = None
    add_generation_prompt: bool = True
    return_token_strs: bool = False
    chat_template: Refused = None
    chat_template_kwargs: Object | None = None
    continue_final_message: bool = False
    tools: list[Object] | None = None
    media_io_kwargs: Object | None = None
    mm_processor_kwargs: Object | None = None

    @property
    def characters(self) -> int:
        return len(self.prompt or "") + sum(len(message.text or "") for message in self.messages or ())

    def form(self, body: bytes) -> Form | None:
        """What an engine is asked, if this, sent as `body`, is more than a text or a dialogue of texts."""
        if self.messages is None:
            return None
        beyond_texts = any(message.more_than_text for message in self.messages)
        if not beyond_texts and not any(getattr(self, name) for name in _RENDERED_BY_ENGINES):
            return None
        sent = msgspec.json.decode(body)
        said = {name: sent[name] for name in (*_RENDERED, *_RENDERED_BY_ENGINES) if sent.get(name) is not None}
        return Form("tokens", msgspec.json.encode(said).decode())

    def encode(self, encoder: PromptEncoder) -> tuple[list[int], list[str]]:
        """The tokens, and their names if they are asked for. Raises PromptRefused."""
        ids = list(self._ids(encoder))
        return ids, encoder.names(ids) if self.return_token_strs else []

    def _ids(self, encoder: PromptEncoder) -> Any:
        if self.messages is None:
            return encoder.encode_text(self.prompt or "", self.add_special_tokens is not False)
        messages = [message.message() for message in self.messages]
        return encoder.encode(messages, self.add_generation_prompt, self.add_special_tokens is True)


_RENDERED = ("messages", "add_special_tokens", "add_generation_prompt")
_RENDERED_BY_ENGINES = (
    "tools",
    "chat_template_kwargs",
    "continue_final_message",
    "media_io_kwargs",
    "mm_processor_kwargs",
)


class TokenizeAnswer(TypedDict):
    """The tokens. `max_model_len` is the model's context, null before an engine has told of it."""

    count: int
    max_model_len: int | None
    tokens: list[int]
    token_strs: NotRequired[list[str]]


class DetokenizeRequest(HeededRequest):
    model: Annotated[Text | None, Field(description="Needed where there are several")] = None
    tokens: list[Annotated[int, Field(ge=0, le=_MOST_ID)]]


class DetokenizeAnswer(TypedDict):
    prompt: str


@router.post("/tokenize", response_model=TokenizeAnswer, responses=_REFUSALS, openapi_extra=takes(TokenizeRequest))
async def tokenize(gateway: CurrentGateway, caller: Caller, body: Body) -> Response:
    """The tokens of a text, or of a dialogue as the model's chat template makes it, without running the model."""
    wanted = parse(TokenizeRequest, body)
    if (wanted.prompt is None) == (wanted.messages is None):
        raise BadRequest("prompt: either this or messages is required")
    model = await _model(gateway, caller, wanted.model)
    if (form := wanted.form(body)) is None:
        tokens, names = await _with_tokenizer(gateway, model, wanted.encode, wanted.characters)
    else:
        tokens = await _rendered(gateway, model, form)
        names = await _names(gateway, model, tokens) if wanted.return_token_strs else []
    answer: TokenizeAnswer = {
        "count": len(tokens),
        "max_model_len": await gateway.contexts.tokens(model),
        "tokens": tokens,
    }
    if wanted.return_token_strs:
        answer["token_strs"] = names
    return Answer(answer)


@router.post(
    "/detokenize", response_model=DetokenizeAnswer, responses=_REFUSALS, openapi_extra=takes(DetokenizeRequest)
)
async def detokenize(gateway: CurrentGateway, caller: Caller, body: Body) -> Response:
    """The text of tokens."""
    wanted = parse(DetokenizeRequest, body)
    model = await _model(gateway, caller, wanted.model)
    text = await _with_tokenizer(gateway, model, partial(_decode, wanted.tokens), len(wanted.tokens))
    answer: DetokenizeAnswer = {"prompt": text}
    return Answer(answer)


async def _rendered(gateway: Gateway, model: Model, form: Form) -> list[int]:
    """The tokens that an engine makes of it. Raises BadRequest with its reason, and NoCapacity where none is ready."""
    asking = await gateway.forms.ask(model, form, Sampling())
    if asking is None:
        raise NoCapacity(f"No engine of {model.id} can be asked now")
    if asking.refusal:
        raise BadRequest(asking.refusal)
    return list(asking.ids)


async def _names(gateway: Gateway, model: Model, tokens: list[int]) -> list[str]:
    return await _with_tokenizer(gateway, model, lambda encoder: encoder.names(tokens), len(tokens))


def _decode(tokens: list[int], encoder: PromptEncoder) -> str:
    return encoder.decode(tokens)


async def _model(gateway: Gateway, caller: Principal, name: str | None) -> Model:
    """The model of this name, or the only one. Raises what says that it cannot be asked for this by this caller."""
    choice = await gateway.choice(name)
    model = permitted(choice.model, caller, choice.adapter_id)
    if not model.traits.has_source:
        raise BadRequest(f"model: {model.id} is a {model.backend} model and has no tokenizer")
    return model


async def _with_tokenizer(gateway: Gateway, model: Model, work: Callable[[PromptEncoder], T], characters: int) -> T:
    """What this makes with the model's tokenizer. Raises NoCapacity where there is none now."""
    try:
        made = await gateway.prompts.use(model, work, characters)
    except PromptRefused as refusal:
        raise BadRequest(f"messages: {refusal}") from None
    except TimeoutError:
        made = None
    if made is None:
        raise NoCapacity(f"The tokenizer of {model.id} cannot be used now")
    return made
