"""What a prompt begins with, in a few numbers: two prompts share as many of them as they share of their beginnings.

An engine caches whole blocks of tokens, each under a hash that includes the blocks before it. Here a block is some of
these (`Model.prefix_tokens`), and there is a hash after each of the first eight, then four to every doubling. So a
prompt of any length has few of them, 16 where it has 32 blocks and 40 where it has two thousand, and what two have in
common is known to a fifth.
"""

import sys
from array import array
from collections.abc import Sequence
from hashlib import blake2b

HASH_BYTES = 8
_LONGEST_BLOCKS = 1 << 20


def _cuts() -> tuple[int, ...]:
    cuts, step = list(range(1, 9)), 2
    while cuts[-1] < _LONGEST_BLOCKS:
        cuts += [cuts[-1] + step * number for number in range(1, 5)]
        step *= 2
    return tuple(cuts)


CUTS = _cuts()
"""After how many blocks of a prompt there is a hash of all before."""


def chain(tokens: bytes, block_bytes: int) -> bytes:
    """The hashes of a prompt, of `HASH_BYTES` each. `tokens` are its tokens, each of as many bytes as any other.

    The same in every process. What comes after the last whole block does not count.
    """
    hashing, view, hashes, begin = blake2b(digest_size=HASH_BYTES), memoryview(tokens), [], 0
    for cut in CUTS:
        end = cut * block_bytes
        if end > len(view):
            break
        hashing.update(view[begin:end])
        hashes.append(hashing.digest())
        begin = end
    return b"".join(hashes)


def of_adapter(prefix: bytes, adapter: str) -> bytes:
    """The chain of the same prompt with this adapter, which has no hash in common with that of any other.

    An engine caches what a prompt became under the weights that read it.
    """
    if not adapter:
        return prefix
    mark = int.from_bytes(blake2b(adapter.encode(), digest_size=HASH_BYTES).digest(), sys.byteorder)
    return array("Q", [each ^ mark for each in hashes(prefix)]).tobytes()


def hashes(prefix: bytes) -> Sequence[int]:
    """The hashes of a chain, each as a number."""
    return memoryview(prefix).cast("Q").tolist()
