"""The text that each token of an answer brings, token by token, however many of them a step of the engine brings.

vLLM tells the text of a step as a whole: with several tokens in it, nobody could say after which of them every
character is whole.
"""

from collections.abc import Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, Protocol

from cluster.messages.work import Output

_INVALID_PREFIX = "Invalid prefix encountered"
"""How `tokenizers` says that it cannot go on: the bytes so far were no UTF-8 and are now read otherwise."""


class Detokenizer(Protocol):
    def text(self, token_id: int) -> str:
        """What the next token brings; nothing when it ends within a character."""
        ...


class NotItsText(Exception):
    """An answer cannot go on: its text is not what its tokens say, or ends within a character."""


class StreamDetokenizer:
    """Of a tokenizer of the `tokenizers` library: what vLLM does with those, with special tokens or without.

    What a token brings depends on the tokens before it, so it is made with the prompt and told of every token.
    """

    def __init__(self, tokenizer: Any, prompt: Sequence[int], skip_special_tokens: bool = True) -> None:
        from tokenizers.decoders import DecodeStream

        self._tokenizer = tokenizer
        self._new_stream = partial(DecodeStream, skip_special_tokens=skip_special_tokens)
        self._stream = self._new_stream(ids=list(prompt))

    def text(self, token_id: int) -> str:
        try:
            return self._stream.step(self._tokenizer, token_id) or ""
        except (OverflowError, TypeError):  # a token that the vocabulary does not have
            return ""
        except Exception as error:
            if not str(error).startswith(_INVALID_PREFIX):
                raise
            self._stream = self._new_stream()
            return self._stream.step(self._tokenizer, token_id) or ""


class OtherDetokenizer:
    """Of any other tokenizer: vLLM's own way."""

    def __init__(self, tokenizer: Any, prompt: Sequence[int], skip_special_tokens: bool = True) -> None:
        from vllm import SamplingParams
        from vllm.v1.engine.detokenizer import IncrementalDetokenizer

        request: Any = SimpleNamespace(
            request_id="",
            sampling_params=SamplingParams(skip_special_tokens=skip_special_tokens),
            prompt_token_ids=list(prompt),
            prompt_embeds=None,
        )
        self._own: Any = IncrementalDetokenizer.from_new_request(tokenizer, request)

    def text(self, token_id: int) -> str:
        self._own.update([token_id], False)
        return str(self._own.get_next_output_text(False, True))


def make_detokenizer(tokenizer: Any, prompt: Sequence[int], skip_special_tokens: bool = True) -> Detokenizer:
    """`tokenizer` is one of vLLM's."""
    from tokenizers import Tokenizer

    rust = getattr(tokenizer, "backend_tokenizer", None)
    if isinstance(rust, Tokenizer):
        return StreamDetokenizer(rust, prompt, skip_special_tokens)
    return OtherDetokenizer(tokenizer, prompt, skip_special_tokens)


def replay(detokenizer: Detokenizer, resume: Output) -> None:
    """Bring a new detokenizer to where an answer goes on. Raises NotItsText."""
    text = "".join(last := [detokenizer.text(token_id) for token_id in resume.token_ids])
    if text != resume.text or last[-1:] == [""]:
        raise NotItsText
