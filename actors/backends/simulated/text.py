"""The answers of simulated models: no state, so that whoever knows a job knows its answer."""

import hashlib
from collections.abc import Sequence

import msgspec

from cluster.messages.work import ChatMessage

_WORDS = """
the a one this every some no another and or but while because although when where under over near small large
quiet bright early late green silver gentle heavy narrow distant patient simple sudden warm river mountain
window garden letter engine harbour market bridge lantern orchard station meadow cellar teacher sailor baker
neighbour child stranger painter gardener carries finds remembers follows repairs answers crosses borrows
waits listens returns begins learns sings travels slowly often never together
"""
_PHRASES = ["of course,", "in the end,", "as usual,", "once more,", "on the other hand,", "a long time ago,"]
_PLAIN = [f"{word} " for word in (*_WORDS.split(), *_PHRASES)]
_ACCENTED = [f"{word} " for word in ("café", "naïve", "Ærø", "Łódź", "żółw", "Привет", "日本語", "مرحبا")]
_EMOJI = [f"{emoji} " for emoji in ("🌍", "🚀", "🦊", "🎉", "👩‍🚀", "🏔️", "🧭", "𝒳")]
VOCABULARY = (*_PLAIN, *_ACCENTED, *_EMOJI, "\n")
"""The text of every token id."""

_ACCENTED_FROM = len(_PLAIN)
_EMOJI_FROM = _ACCENTED_FROM + len(_ACCENTED)
_NEWLINE = len(VOCABULARY) - 1


def digest(messages: Sequence[ChatMessage], seed: int | None, adapter: str = "") -> int:
    """The 64 bits that a dialogue's answer depends on. No seed is a seed like any other."""
    said = [(message.role, message.content) for message in messages]
    data = msgspec.msgpack.encode((said, seed, adapter) if adapter else (said, seed))
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest())


def varied(digest: int, attempt: int) -> int:
    """What the answer depends on that this attempt draws, where each draws another one; the first draws the plain."""
    return (digest + (attempt - 1) * 0xD1B54A32D192ED03) & 0xFFFFFFFFFFFFFFFF


def follows(token_ids: Sequence[int], digest: int) -> bool:
    """Whether an answer that depends on `digest` begins with these tokens."""
    return all(simulated_token_id(digest, index) == token_id for index, token_id in enumerate(token_ids))


def simulated_token_id(digest: int, index: int) -> int:
    """Token `index` of an answer. Line ends, accents and emoji come at regular places."""
    bits = (digest ^ (index * 0x9E3779B97F4A7C15)) * 0xD6E8FEB86659FD93 >> 29 & 0xFFFFFFFF
    place = index % 24
    if place == 5:
        return _EMOJI_FROM + bits % len(_EMOJI)
    if place == 11:
        return _ACCENTED_FROM + bits % len(_ACCENTED)
    return _NEWLINE if place == 23 else bits % len(_PLAIN)


def simulated_token(digest: int, index: int) -> str:
    """The text of token `index` of an answer."""
    return VOCABULARY[simulated_token_id(digest, index)]


def simulated_text(
    messages: Sequence[ChatMessage], seed: int | None, n_tokens: int, attempt: int = 1, adapter: str = ""
) -> str:
    """The first `n_tokens` of the answer to `messages`: what an undisturbed job generates.

    `attempt` is the one that has drawn it, where each draws another one.
    """
    key = varied(digest(messages, seed, adapter), attempt)
    return "".join([simulated_token(key, index) for index in range(n_tokens)])
