"""A job's output so far. A reader is a position in it: no queue per reader, late and live readers are the same code."""

from array import array
from collections.abc import Sequence

from cluster.messages.marks import Mark
from cluster.messages.work import End, Output

_MOST_PIECES = 32
"""A text is kept in so many pieces at most: each costs as much as a dozen tokens."""


class Gap(ValueError):
    """Something is missing between what a log has and what was sent to it."""


class TokenLog:
    """Append-only token ids of one job, the text of each, and how it ended.

    Positions are counted in Unicode code points, which is what an SSE event id carries. `ends` has for every token the
    position at which its text ends; text after the last of them is of no whole token: a stop string has cut it.
    `marks` say what the text means, in their order; they come with the text that they are of.
    """

    __slots__ = ("_pieces", "end", "ends", "epoch", "length", "marks", "token_ids")

    def __init__(self, resume: Output = Output(), epoch: int = 0) -> None:
        self._pieces: list[str] = []
        self.length = 0
        self.token_ids = array("I")
        self.ends = array("I")
        self.epoch = epoch or resume.epoch
        self.end: End | None = None
        self.marks: list[Mark] = []
        self.append(resume.text, resume.token_ids, resume.ends, resume.marks)

    def append(
        self, text: str, token_ids: Sequence[int] = (), ends: Sequence[int] = (), marks: Sequence[Mark] = ()
    ) -> None:
        """Add `text`, made of `token_ids`, which end at these positions of it; without them it came with the last.

        An ended log does not change.
        """
        if self.end is not None:
            return
        if marks:
            self.marks.extend(marks)
        begin = self.length
        if len(token_ids) == 1 and text and (not ends or ends[0] == len(text)):  # what most steps bring
            self.token_ids.append(token_ids[0])
            self.length = end = begin + len(text)
            self.ends.append(end)
            self._pieces.append(text)
            if len(self._pieces) > _MOST_PIECES:
                self._join()
            return
        if token_ids:
            self._extend(text, token_ids, [begin + end for end in ends])
        if text:
            self._add(text)

    def append_at(
        self,
        offset: int,
        text: str,
        token_offset: int = 0,
        token_ids: Sequence[int] = (),
        ends: Sequence[int] = (),
        mark_offset: int = 0,
        marks: Sequence[Mark] = (),
    ) -> None:
        """Add text that begins at `offset`, of tokens that begin at `token_offset`, dropping what is already here.

        A sender that was cut off begins again at a position it is sure of, so what it sends may overlap. `ends` are
        positions in the whole text. Marks take the place of those that are here from `mark_offset` on.

        Raises Gap when something is missing between the log and what was sent.
        """
        overlap, token_overlap = self.length - offset, len(self.token_ids) - token_offset
        if overlap < 0 or token_overlap < 0 or mark_offset > len(self.marks):
            raise Gap(f"{self.length} code points here, the next begin at {offset}")
        if self.end is not None:
            return
        if marks:
            self.marks[mark_offset:] = marks
        if overlap or token_overlap:
            text, token_ids, ends = text[overlap:], token_ids[token_overlap:], ends[token_overlap:]
        if token_ids:
            self._extend(text, token_ids, ends)
        if text:
            self._add(text)

    def agreed(self, token_offset: int, token_ids: Sequence[int]) -> int:
        """How many of the tokens here may be those of a sender that says `token_ids` from `token_offset` on."""
        for number, (mine, theirs) in enumerate(zip(self.token_ids[token_offset:], token_ids, strict=False)):
            if mine != theirs:
                return token_offset + number
        return len(self.token_ids)

    def cut(self, tokens: int) -> None:
        """Keep so many tokens and their text."""
        text, self._pieces = self.text, []
        del self.token_ids[tokens:], self.ends[tokens:]
        self.length = 0
        if self.ends:
            self._add(text[: self.ends[-1]])
        self.marks = list(self.marks_within(self.length, whole=len(text)))

    def close(self, end: End) -> None:
        """End the log. The first end stays."""
        if self.end is None:
            self.end = end

    def since(self, offset: int, most: int | None = None) -> str:
        """The text from `offset` on, or the first `most` of it; empty when the log is no longer than that."""
        missing = self.length - offset
        if missing <= 0:
            return ""
        text, begin = self._pieces[-1], len(self._pieces[-1]) - missing  # where most readers are
        if begin < 0:
            text, begin = self.text, offset
        return text[begin:] if most is None else text[begin : begin + most]

    @property
    def text(self) -> str:
        if len(self._pieces) > 1:
            self._join()
        return self._pieces[0] if self._pieces else ""

    def output(self, prompt_tokens: int = 0, prompt_ids: Sequence[int] = ()) -> Output:
        """Everything so far that is whole, as a point to go on from."""
        ends, whole = self.ends, len(self.token_ids)
        while whole and ends[whole - 1] == (ends[whole - 2] if whole > 1 else 0):
            whole -= 1
        length = ends[whole - 1] if whole else 0
        token_ids, ends_of = tuple(self.token_ids[:whole]), tuple(ends[:whole])
        marks = self.marks_within(length, whole=self.length)
        return Output(self.text[:length], token_ids, ends_of, self.epoch, prompt_tokens, tuple(prompt_ids), marks)

    def marks_within(self, length: int, whole: int) -> tuple[Mark, ...]:
        """Those that stay when of a text that was `whole` long so much is kept: all that have text after them."""
        if not self.marks:
            return ()
        return tuple(mark for mark in self.marks if mark.at < length or length == whole)

    def _extend(self, text: str, token_ids: Sequence[int], ends: Sequence[int]) -> None:
        self.token_ids.extend(token_ids)
        if ends:
            self.ends.extend(ends)
        else:
            self.ends.extend([self.length] * (len(token_ids) - 1))
            self.ends.append(self.length + len(text))

    def _add(self, text: str) -> None:
        self._pieces.append(text)
        self.length += len(text)
        if len(self._pieces) > _MOST_PIECES:
            self._join()

    def _join(self) -> None:
        self._pieces = ["".join(self._pieces)]
