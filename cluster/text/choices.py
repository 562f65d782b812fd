"""A job's text taken apart again: by what it means, and by the choice that it is of. Pure."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from cluster.messages.marks import PLAIN, Mark, Stopped, Tokens, Turn
from cluster.messages.work import Output


class Segment(Struct, frozen=True):
    """Text of one kind and one choice."""

    turn: Turn
    text: str


def segments(text: str, marks: Sequence[Mark]) -> Iterator[Segment]:
    """The text, in its order. What begins before the first turn is content of the first choice."""
    turn, begin = PLAIN, 0
    for mark in marks:
        if isinstance(mark, Turn):
            if mark.at > begin:
                yield Segment(turn, text[begin : mark.at])
            turn, begin = mark, mark.at
    if begin < len(text):
        yield Segment(turn, text[begin:])


def last_turn(marks: Sequence[Mark]) -> Turn:
    """What text would be that came after these."""
    return next((mark for mark in reversed(marks) if isinstance(mark, Turn)), PLAIN)


class ChoiceOutput(Struct, frozen=True):
    """What one choice has: its tokens, its segments, and how it ended if it did."""

    token_ids: tuple[int, ...]
    segments: tuple[Segment, ...]
    stopped: Stopped | None = None


def by_choice(output: Output, choices: int) -> list[ChoiceOutput]:
    """What each of so many choices has of an output."""
    token_ids: list[list[int]] = [[] for _ in range(choices)]
    for choice, token_id in _choices_of_tokens(output):
        token_ids[choice].append(token_id)
    found = list(segments(output.text, output.marks))
    stopped = {mark.choice: mark for mark in output.marks if isinstance(mark, Stopped)}
    return [
        ChoiceOutput(
            tuple(token_ids[choice]),
            tuple(segment for segment in found if segment.turn.choice == choice),
            stopped.get(choice),
        )
        for choice in range(choices)
    ]


def _choices_of_tokens(output: Output) -> Iterator[tuple[int, int]]:
    """A token is of the choice whose text it ends; one that ends without text is of that of the next that does."""
    turns = [mark for mark in output.marks if isinstance(mark, Turn)]
    of_none = set(_ends_of_no_token(output.marks))
    current, held = 0, list[int]()
    choice, previous = 0, 0
    for token_id, end in zip(output.token_ids, output.ends, strict=True):
        held.append(token_id)
        if end == previous or end in of_none:
            continue
        previous = end
        while current < len(turns) and turns[current].at < end:
            choice = turns[current].choice
            current += 1
        yield from ((choice, each) for each in held)
        held.clear()


def _ends_of_no_token(marks: Sequence[Mark]) -> Iterator[int]:
    """Where the texts end that came with no token. Each is the last of its choice."""
    begun = set[int]()
    for mark in marks:
        if isinstance(mark, Tokens) and not mark.ids:
            begun.add(mark.choice)
        elif isinstance(mark, Stopped) and mark.choice in begun:
            yield mark.at
