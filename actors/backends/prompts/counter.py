"""What counts prompts in an ingress replica."""

import asyncio
import logging
from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from msgspec import Struct

from actors.backends.prompts.by_length import TOKEN_BYTES, prompt_bytes, prompt_tokens
from actors.backends.prompts.encoder import PromptEncoder, PromptRefused
from actors.backends.prompts.lazy import LazyEncoder, Load
from actors.backends.prompts.loader import load_encoder
from cluster.catalogue import Model
from cluster.clock import SYSTEM_CLOCK, Clock
from cluster.errors import BadRequest
from cluster.messages.work import ChatMessage
from cluster.prefixes.chain import chain

T = TypeVar("T")

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
    """How many tokens a prompt has, None where that cannot be known, and which, unless it is long.

    `prefix` are hashes of its beginnings, by which engines that have had the same are known.
    """

    tokens: int | None = None
    ids: tuple[int, ...] = ()
    prefix: bytes = b""


class PromptCounter:
    """Counts prompts as the engines of their models would. One per ingress replica.

    Waits up to `patience_s` for a count, and as long for the first load of a model's tokenizer.
    """

    def __init__(
        self,
        models: Sequence[Model] = (),
        load: Load = load_encoder,
        patience_s: float = PATIENCE_S,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._load = load
        self._patience_s = patience_s
        self._clock = clock
        self._encoders: dict[str, LazyEncoder] = {}
        self._short = ThreadPoolExecutor(_THREADS, thread_name_prefix="short-prompts")
        self._long = ThreadPoolExecutor(_THREADS, thread_name_prefix="long-prompts")
        self._models = models

    async def start(self) -> None:
        """Begin to load what counting needs. Does not wait for it."""
        for model in self._models:
            if model.traits.has_source:
                self._lazy_encoder(model).start()

    async def stop(self) -> None:
        """Count nothing more; what is under way is not waited for."""
        for encoder in self._encoders.values():
            await encoder.stop()
        self._short.shutdown(wait=False, cancel_futures=True)
        self._long.shutdown(wait=False, cancel_futures=True)

    async def count(self, model: Model, messages: Sequence[ChatMessage]) -> Prompt:
        """The tokens of this dialogue as the model's engine would make them.

        Raises BadRequest when the model's chat template refuses the dialogue. Not counted is what the engine alone
        can say.
        """
        if not model.traits.has_source:
            return _prompt_by_length(model, messages)
        if len(messages) > MOST_MESSAGES:
            return Prompt()
        encoder = await self._lazy_encoder(model).get(self._patience_s)
        if encoder is None or not encoder.renders_dialogues:
            return Prompt()
        return await self._count(encoder, model, messages)

    async def use(self, model: Model, work: Callable[[PromptEncoder], T], characters: int) -> T | None:
        """What `work` makes with the model's encoder, of so many characters. None where there is no encoder.

        Raises TimeoutError when it takes too long.
        """
        encoder = await self._lazy_encoder(model).get(self._patience_s) if model.traits.has_source else None
        return None if encoder is None else await self._run(partial(work, encoder), characters)

    async def _count(self, encoder: PromptEncoder, model: Model, messages: Sequence[ChatMessage]) -> Prompt:
        characters = sum(len(message.content) for message in messages)
        try:
            work = partial(_prompt, encoder, model, messages)
            return await self._run(work, characters, is_brief=len(messages) <= INLINE_MESSAGES)
        except PromptRefused as refusal:
            raise BadRequest(f"messages: {refusal}") from None
        except TimeoutError:
            log.warning("model %s: a prompt was not counted within %.0f s", model.id, self._patience_s)
        except Exception as error:  # noqa: BLE001 - the engine is going to say what it makes of this prompt
            kind = type(error).__name__  # not the error itself: it may quote the prompt
            log.error("model %s: a prompt could not be counted (%s)", model.id, kind)  # noqa: TRY400
        return Prompt()

    async def _run(self, work: Callable[[], T], characters: int, is_brief: bool = True) -> T:
        if characters <= INLINE_CHARACTERS and is_brief:
            return work()
        threads = self._short if characters <= SHORT_CHARACTERS else self._long
        working = asyncio.get_running_loop().run_in_executor(threads, work)
        async with asyncio.timeout(self._patience_s):  # what has not begun by then never does
            return await working

    def _lazy_encoder(self, model: Model) -> LazyEncoder:
        if model.id not in self._encoders:
            self._encoders[model.id] = LazyEncoder(model, self._load, self._clock)
        return self._encoders[model.id]


def prompt_of(model: Model, ids: Sequence[int]) -> Prompt:
    """The prompt of these tokens."""
    tokens = array("I", ids)
    prefix = chain(tokens.tobytes(), model.prefix_tokens * tokens.itemsize)
    return Prompt(len(ids), tuple(ids) if len(ids) <= MOST_IDS else (), prefix)


def _prompt(encoder: PromptEncoder, model: Model, messages: Sequence[ChatMessage]) -> Prompt:
    ids = encoder.encode(messages)
    tokens = array("I", ids)
    prefix = chain(tokens.tobytes(), model.prefix_tokens * tokens.itemsize)
    return Prompt(len(ids), tuple(ids) if len(ids) <= MOST_IDS else (), prefix)


def _prompt_by_length(model: Model, messages: Sequence[ChatMessage]) -> Prompt:
    prefix = chain(prompt_bytes(messages), model.prefix_tokens * TOKEN_BYTES)
    return Prompt(prompt_tokens(messages), prefix=prefix)
