"""A job's output so far. A reader is a position in it: no queue per reader, late and live readers are the same code."""

from bisect import bisect_right

from cluster.messages.work import End, Output


class Gap(ValueError):
    """Something is missing between what a log has and what was sent to it."""


class TokenLog:
    """Append-only text and token ids of one job, and how it ended.

    Positions are counted in Unicode code points, which is what an SSE event id carries.
    The token ids are those whose text has been appended, so `output()` is a point to go on from.
    """

    __slots__ = ("_chunks", "_starts", "end", "length", "token_ids")

    def __init__(self, resume: Output | None = None) -> None:
        self._chunks: list[str] = []
        self._starts: list[int] = []
        self.length = 0
        self.token_ids: list[int] = []
        self.end: End | None = None
        if resume is not None:
            self.append(resume.text, resume.token_ids)

    def append(self, text: str, token_ids: tuple[int, ...] | list[int] = ()) -> None:
        """Add `text`, made of `token_ids`. An ended log does not change."""
        if self.end is not None:
            return
        if text:
            self._starts.append(self.length)
            self._chunks.append(text)
            self.length += len(text)
        self.token_ids.extend(token_ids)

    def append_at(self, offset: int, text: str, token_offset: int = 0, token_ids: tuple[int, ...] = ()) -> None:
        """Add text that begins at `offset`, of tokens that begin at `token_offset`, dropping what is already here.

        A sender that was cut off begins again at a position it is sure of, so what it sends may overlap.

        Raises Gap when something is missing between the log and what was sent.
        """
        overlap, token_overlap = self.length - offset, len(self.token_ids) - token_offset
        if overlap < 0 or token_overlap < 0:
            raise Gap(f"{self.length} code points here, the next begin at {offset}")
        self.append(text[overlap:], token_ids[token_overlap:])

    def close(self, end: End) -> None:
        """End the log. The first end stays."""
        if self.end is None:
            self.end = end

    def since(self, offset: int) -> str:
        """The text from `offset` on; empty when the log is no longer than that."""
        if offset >= self.length:
            return ""
        first = bisect_right(self._starts, offset) - 1
        head = self._chunks[first][offset - self._starts[first] :]
        return head if first + 1 == len(self._chunks) else head + "".join(self._chunks[first + 1 :])

    @property
    def text(self) -> str:
        return "".join(self._chunks)

    def output(self) -> Output:
        """Everything so far, as a point to go on from."""
        return Output(self.text, tuple(self.token_ids))
