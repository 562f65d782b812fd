"""A prompt's tokens, made before its job is accepted."""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from msgspec import Struct

from actors.backends.prompts.encoder import PromptEncoder, PromptRefused
from actors.backends.prompts.lazy import LazyEncoder, Load, load_encoder
from actors.backends.simulated import prompt_tokens
from cluster.catalogue import Model
from cluster.errors import BadRequest
from cluster.messages.work import ChatMessage

log = logging.getLogger(__name__)

PATIENCE_S = 15.0
"""How long a submission waits to be counted, or for the first load of its tokenizer, before it goes on without.

1 MiB takes half a second and a tokenizer two, but on a busy machine, behind others, many times as long; and a prompt
that was not counted costs its client more: it fails later, and budgets take it for its bytes.
"""

MOST_MESSAGES = 2048
"""Some chat templates take time that grows with the square of the messages; from here on it would be seconds."""

INLINE_CHARACTERS = 1024
INLINE_MESSAGES = 16
"""Up to here, counting takes less than half a millisecond: as much as handing it to a thread."""

SHORT_CHARACTERS = 32 * 1024
"""Longer prompts have threads of their own, so that shorter ones need not wait for them."""

MOST_IDS = 2048
"""An engine makes the tokens of a longer prompt itself, which takes a small part of its prefill."""

_THREADS = 2


class Prompt(Struct, frozen=True):
    """How many tokens a prompt has, None where that cannot be known, and which, unless it is long."""

    tokens: int | None = None
    ids: tuple[int, ...] = ()


class Prompts:
    """One per ingress replica."""

    def __init__(self, models: Sequence[Model] = (), load: Load = load_encoder) -> None:
        self._load = load
        self._encoders: dict[str, LazyEncoder] = {}
        self._short = ThreadPoolExecutor(_THREADS, thread_name_prefix="short-prompts")
        self._long = ThreadPoolExecutor(_THREADS, thread_name_prefix="long-prompts")
        self._models = models

    async def start(self) -> None:
        """Begin to load what counting needs. Does not wait for it."""
        for model in self._models:
            if model.backend != "simulated":
                self._lazy(model).start()

    async def stop(self) -> None:
        for encoder in self._encoders.values():
            await encoder.stop()
        self._short.shutdown(wait=False, cancel_futures=True)
        self._long.shutdown(wait=False, cancel_futures=True)

    async def encode(self, model: Model, messages: Sequence[ChatMessage]) -> Prompt:
        """The tokens of this dialogue as the model's engine would make them.

        Raises BadRequest when the model's chat template refuses the dialogue.
        """
        if model.backend == "simulated":
            return Prompt(prompt_tokens(messages))
        if len(messages) > MOST_MESSAGES:
            return Prompt()
        encoder = await self._lazy(model).get(PATIENCE_S)
        if encoder is None:
            return Prompt()
        try:
            ids = await self._encode(encoder, messages)
        except PromptRefused as refusal:
            raise BadRequest(f"messages: {refusal}") from None
        except TimeoutError:
            log.warning("model %s: a prompt was not counted within %.0f s", model.id, PATIENCE_S)
        except Exception as error:  # noqa: BLE001 - the engine is going to say what it makes of this prompt
            kind = type(error).__name__  # not the error itself: it may quote the prompt
            log.error("model %s: a prompt could not be counted (%s)", model.id, kind)  # noqa: TRY400
        else:
            return Prompt(len(ids), tuple(ids) if len(ids) <= MOST_IDS else ())
        return Prompt()

    async def _encode(self, encoder: PromptEncoder, messages: Sequence[ChatMessage]) -> Sequence[int]:
        characters = sum(len(message.content) for message in messages)
        if characters <= INLINE_CHARACTERS and len(messages) <= INLINE_MESSAGES:
            return encoder.encode(messages)
        threads = self._short if characters <= SHORT_CHARACTERS else self._long
        counting = asyncio.get_running_loop().run_in_executor(threads, encoder.encode, messages)
        async with asyncio.timeout(PATIENCE_S):  # what has not begun by then never does
            return await counting

    def _lazy(self, model: Model) -> LazyEncoder:
        if model.id not in self._encoders:
            self._encoders[model.id] = LazyEncoder(model, self._load)
        return self._encoders[model.id]
