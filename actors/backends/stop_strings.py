"""Stop strings: finding them, and withholding text that may be the beginning of one."""

from collections.abc import Sequence

Piece = tuple[str, tuple[int, ...]]
"""Text, and the tokens that brought it: the last of them all of it. Text that a stop string has cut is of no token."""


class StopStringFilter:
    """Passes text on in whole tokens, and withholds what may be the beginning of a stop string.

    What has been passed on is final, and generation can be resumed from there: its text is exactly the text of its
    token ids, and no stop string can begin in it. A stop string and the text after it are never passed on. Of several,
    the one that is complete first counts, as in vLLM.
    """

    __slots__ = ("_held", "_immune", "_includes", "_pending", "_stop", "_unstoppable", "found", "stopped")

    def __init__(self, stop: Sequence[str] = (), includes: bool = False, unstoppable: int = 0) -> None:
        """`includes`: a stop string is part of what is passed on. None ends in the first `unstoppable` tokens."""
        self._stop = tuple(filter(None, stop))
        self._includes = includes
        self._unstoppable = unstoppable
        self._pending: tuple[int, ...] = ()  # ids whose text has not come yet: half a character
        self._held: list[Piece] = []
        self._immune = 0  # so many of the held characters came with tokens in which no stop string ends
        self.stopped = False
        self.found = ""  # the stop string

    def push(self, text: str, token_id: int) -> list[Piece]:
        """Take in the next token and the text it brought; return what can be passed on now.

        `stopped` is True from the push on that completed a stop string. The text before it may end within a
        token: then that token's id is left out.
        """
        token_ids = (*self._pending, token_id)
        self._unstoppable -= 1
        if not text:
            self._pending = token_ids
            return []
        self._pending = ()
        if not self._stop:
            return [(text, token_ids)]
        self._held.append((text, token_ids))
        if self._unstoppable >= 0:
            self._immune = sum(len(piece) for piece, _ in self._held)
        return self._release()

    def flush(self) -> list[Piece]:
        """The generation is over: return the text still withheld. Ids that never brought text are left out."""
        held, self._held = self._held, []
        return held

    def _release(self) -> list[Piece]:
        text = "".join([piece for piece, _ in self._held])
        hits = [(begin + len(stop), begin, stop) for stop in self._stop if (begin := self._find(text, stop)) >= 0]
        if hits:
            self.stopped = True
            after, begin, self.found = min(hits, key=lambda hit: hit[0])
            pieces = self._take(begin)
            self._held = []
            cut = text[sum(len(piece) for piece, _ in pieces) : after if self._includes else begin]
            return [*pieces, (cut, ())] if cut else pieces
        return self._take(len(text) - max(_overlap(text, stop) for stop in self._stop))

    def _find(self, text: str, stop: str) -> int:
        """Where the first one begins that counts, -1 where there is none."""
        return text.find(stop, max(0, self._immune - len(stop) + 1))

    def _take(self, end: int) -> list[Piece]:
        """Remove the whole tokens that lie before `end`."""
        count = length = 0
        for piece, _ in self._held:
            length += len(piece)
            if length > end:
                break
            count += 1
        taken, self._held = self._held[:count], self._held[count:]
        self._immune = max(0, self._immune - sum(len(piece) for piece, _ in taken))
        return taken


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` are the beginning of `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
