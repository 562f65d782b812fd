"""The tokens of a dialogue for a Hugging Face model: those that its engine would make, without PyTorch.

`transformers` makes the tokenizer, in a process of its own (`export.py`), because some of its tokenizer
classes rebuild what `tokenizer.json` says. What it made is exported; encoding needs only the Rust library beneath it,
and the function it renders chat templates with.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, field

from cluster.messages.work import ChatMessage

_LONGEST_REASON = 200
_NO_VARIABLES: Mapping[str, Any] = {}
_UNSET = (None, "auto")
"""Values that leave a variable as the model's settings have it, as in vLLM."""
_WARM_UP = (ChatMessage("user", "?"),)


class TokenizerExport(Struct, frozen=True):
    """A tokenizer after `transformers` made it. `tokenizer` is JSON as the `tokenizers` library writes it.

    The chat template is given the content of messages in this format, and these variables besides. Where there is none,
    it is nothing, and only texts are encoded.
    """

    tokenizer: str
    chat_template: str
    special_tokens: Mapping[str, str]
    split_special_tokens: bool = False
    content_format: Literal["string", "openai"] = "string"
    variables: Mapping[str, Any] = field(default_factory=dict)


class PromptRefused(Exception):
    """The chat template refuses this dialogue. The message is one short line for whoever wrote the dialogue."""


class PromptEncoder:
    """Encodes in any thread, several at once. While it does, it does not hold the interpreter's lock for long.

    Making one does hold it: 0.4 s for a vocabulary of 130 000 tokens.
    """

    def __init__(self, export: TokenizerExport) -> None:
        from tokenizers import Tokenizer
        from transformers.utils.chat_template_utils import render_jinja_template

        # Otherwise the library encodes in a pool of its own, where a short prompt waits for the long ones.
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        self._render = render_jinja_template
        self._chat_template = export.chat_template
        self._content_format = export.content_format
        self._variables = {**export.special_tokens, **export.variables}
        self._tokenizer = Tokenizer.from_str(export.tokenizer)
        self._tokenizer.encode_special_tokens = export.split_special_tokens
        if self.renders_dialogues:
            self.encode(_WARM_UP)  # compiles the template

    @property
    def renders_dialogues(self) -> bool:
        """Whether there is a chat template with the tokenizer. Without, vLLM may still have one from elsewhere."""
        return bool(self._chat_template)

    def encode(
        self,
        messages: Sequence[ChatMessage],
        add_generation_prompt: bool = True,
        add_special_tokens: bool = False,
        variables: Mapping[str, Any] = _NO_VARIABLES,
    ) -> Sequence[int]:
        """The token ids of the dialogue with all that the chat template adds. Raises PromptRefused.

        `variables` are what the template is given besides, above those of the model's settings.
        """
        return self.encode_text(self._prompt(messages, add_generation_prompt, variables), add_special_tokens)

    def encode_text(self, text: str, add_special_tokens: bool) -> Sequence[int]:
        """The token ids of a text, with those that the model wants around one or without."""
        # Of all ways to encode only the batch ones let go of the interpreter's lock, and this one makes no offsets.
        [encoding] = self._tokenizer.encode_batch_fast([text], add_special_tokens=add_special_tokens)
        ids: list[int] = encoding.ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of these tokens, special ones as they are written. Ids that there are not bring nothing."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=False)
        return text

    def names(self, ids: Sequence[int]) -> list[str]:
        """What the vocabulary has for each of these ids; nothing for those that are not in it."""
        return [self._tokenizer.id_to_token(each) or "" for each in ids]

    def _prompt(
        self, messages: Sequence[ChatMessage], add_generation_prompt: bool, variables: Mapping[str, Any]
    ) -> str:
        if not self.renders_dialogues:
            raise PromptRefused("the model's tokenizer has no chat template")
        try:
            prompts, _ = self._render(
                [dialogue(messages, self._content_format)],
                chat_template=self._chat_template,
                add_generation_prompt=add_generation_prompt,
                **self._variables | {name: value for name, value in variables.items() if value not in _UNSET},
            )
        except Exception as error:  # noqa: BLE001 - whatever a template raises, it does so in the engine too
            raise PromptRefused(refusal(error)) from None
        return str(prompts[0])


def dialogue(messages: Sequence[ChatMessage], content_format: Literal["string", "openai"]) -> list[dict[str, Any]]:
    """The messages as a chat template of this format is given them."""
    if content_format == "string":
        return [{"role": message.role, "content": message.content} for message in messages]
    return [{"role": each.role, "content": [{"type": "text", "text": each.content}]} for each in messages]


def refusal(error: Exception) -> str:
    """What the template's author says of the dialogue. Other errors of the template speak of its inside."""
    from jinja2 import TemplateError

    if type(error) is not TemplateError:
        return "the model's chat template cannot render this dialogue"
    return " ".join(str(error).split())[:_LONGEST_REASON] or "the model's chat template refuses this dialogue"
