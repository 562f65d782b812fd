"""The tokens of a dialogue for a Hugging Face model: those that its engine would make, without PyTorch.

`transformers` makes the tokenizer, in a process of its own (`export.py`), because some of its tokenizer
classes rebuild what `tokenizer.json` says. What it made is exported; encoding needs only the Rust library beneath it,
and the function it renders chat templates with.
"""

import os
from collections.abc import Mapping, Sequence

from msgspec import Struct

from cluster.messages.work import ChatMessage

_LONGEST_REASON = 200
_WARM_UP = (ChatMessage("user", "?"),)


class TokenizerExport(Struct, frozen=True):
    """A tokenizer after `transformers` made it. `tokenizer` is JSON as the `tokenizers` library writes it."""

    tokenizer: str
    chat_template: str
    special_tokens: Mapping[str, str]
    split_special_tokens: bool = False


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
        self._special_tokens = dict(export.special_tokens)
        self._tokenizer = Tokenizer.from_str(export.tokenizer)
        self._tokenizer.encode_special_tokens = export.split_special_tokens
        self.encode(_WARM_UP)  # compiles the template

    def encode(
        self, messages: Sequence[ChatMessage], add_generation_prompt: bool = True, add_special_tokens: bool = False
    ) -> Sequence[int]:
        """The token ids of the dialogue with all that the chat template adds. Raises PromptRefused."""
        return self.encode_text(self._prompt(messages, add_generation_prompt), add_special_tokens)

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

    def _prompt(self, messages: Sequence[ChatMessage], add_generation_prompt: bool) -> str:
        from jinja2 import TemplateError

        dialogue = [{"role": message.role, "content": message.content} for message in messages]
        try:
            prompts, _ = self._render(
                [dialogue],
                chat_template=self._chat_template,
                add_generation_prompt=add_generation_prompt,
                **self._special_tokens,
            )
        except TemplateError as error:
            raise PromptRefused(_reason(error)) from None
        return str(prompts[0])


def _reason(error: Exception) -> str:
    """What the template's author says of the dialogue. Other errors of the template speak of its inside."""
    from jinja2 import TemplateError

    if type(error) is not TemplateError:
        return "the model's chat template cannot render this dialogue"
    return " ".join(str(error).split())[:_LONGEST_REASON] or "the model's chat template refuses this dialogue"
