"""What a simulated engine has of what it has read: whole blocks, each with all before it, as vLLM keeps them."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import takewhile

from actors.backends.prompts.by_length import TOKEN_BYTES, prompt_bytes
from cluster.messages.work import ChatMessage


class PrefixCache:
    """Room for so many blocks. Those used least recently give way, of one prompt its end before its beginning."""

    def __init__(self, blocks: int, block_tokens: int) -> None:
        self._room = blocks
        self._block_tokens = block_tokens
        self._blocks: OrderedDict[bytes, None] = OrderedDict()

    @property
    def tokens(self) -> int:
        return self._room * self._block_tokens

    def read(self, messages: Sequence[ChatMessage], adapter: str = "") -> int:
        """Have this dialogue from now on, as this adapter reads it. Returns how many of its tokens were there.

        The last token is read in any case: it brings the first of the answer.
        """
        if not self._room:
            return 0
        tokens = prompt_bytes(messages)
        blocks = list(self._hashes(tokens, adapter))
        usable = (len(tokens) // TOKEN_BYTES - 1) // self._block_tokens
        held = sum(1 for _ in takewhile(self._blocks.__contains__, blocks[:usable]))
        for block in reversed(blocks):
            self._blocks[block] = None
            self._blocks.move_to_end(block)
        while len(self._blocks) > self._room:
            self._blocks.popitem(last=False)
        return held * self._block_tokens

    def _hashes(self, tokens: bytes, adapter: str) -> Iterator[bytes]:
        hashing, size = blake2b(adapter.encode(), digest_size=8), self._block_tokens * TOKEN_BYTES
        for begin in range(0, len(tokens) - size + 1, size):
            hashing.update(tokens[begin : begin + size])
            yield hashing.digest()
