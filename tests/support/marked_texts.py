"""Texts that mean more than an answer, for tests: any marks, and whole marked generations as a log has them."""

import json
from collections.abc import Sequence

from hypothesis import strategies as st
from msgspec import Struct

from cluster.messages.marks import Called, Mark, Prompt, Stopped, TextKind, Tokens, Turn, Whole

_texts = st.text(st.characters(codec="utf-8"), max_size=20)
_counts = st.integers(0, 2**32 - 1)
_ids = st.lists(_counts, max_size=3).map(tuple)
_kinds = st.sampled_from(["content", "reasoning", "tool", "arguments"])

any_mark: st.SearchStrategy[Mark] = st.one_of(
    st.builds(Turn, _counts, _kinds, _counts, _counts, _texts),
    st.builds(Tokens, _counts, _counts, _ids, _texts),
    st.builds(
        Stopped,
        _counts,
        _counts,
        st.sampled_from(["stop", "length", "tool_calls"]),
        st.none() | st.integers(0, 9) | _texts,
        _counts,
    ),
    st.builds(Prompt, _counts, _counts, _ids, _texts, _texts),
    st.builds(
        Whole,
        _counts,
        _counts,
        st.none() | _texts,
        st.none() | _texts,
        st.lists(st.builds(Called, _texts, _texts, _texts), max_size=2).map(tuple),
    ),
)


class Step(Struct, frozen=True):
    """What a step added to a log: text, where its tokens end, and marks at positions of the whole text."""

    text: str
    token_ids: tuple[int, ...]
    ends: tuple[int, ...]
    marks: tuple[Mark, ...]


class _Said(Struct, frozen=True):
    """One choice's text of one kind, the tokens that it came with, and whether the choice ends with it."""

    text: str
    kind: TextKind
    choice: int
    tokens: int
    ends: bool


_said = st.builds(
    _Said, st.text("aé日🚀", min_size=1, max_size=4), _kinds, st.integers(0, 2), st.integers(1, 3), st.booleans()
)


def _steps(said: Sequence[Sequence[_Said]], tells_tokens: bool, has_prompts: bool) -> list[Step]:
    made: list[Step] = []
    position, token_id, turn = 0, 0, ("content", 0)
    stopped = set[int]()
    for number, together in enumerate(said):
        begin = position
        text, ids, ends = "", list[int](), list[int]()
        marks: list[Mark] = [Prompt(0, 0, (7, 8), "p")] if has_prompts and number == 0 else []
        for each in together:
            if each.choice in stopped:
                continue
            new = list(range(token_id, token_id := token_id + each.tokens))
            if turn != (turn := (each.kind, each.choice)):
                marks.append(Turn(position, each.kind, each.choice))
            if tells_tokens:
                marks.append(Tokens(position, each.choice, tuple(new), json.dumps(new)))
            ids += new
            ends += [position - begin] * (each.tokens - 1) + [position - begin + len(each.text)]
            text += each.text
            position += len(each.text)
            if each.ends:
                stopped.add(each.choice)
                if tells_tokens:
                    marks.append(Tokens(position, each.choice, (99,), "[99]"))
                marks.append(Stopped(position, each.choice, "stop", None, token_id))
        made.append(Step(text, tuple(ids), tuple(ends), tuple(marks)))
    return [step for step in made if step.text or step.marks]


marked_steps: st.SearchStrategy[list[Step]] = st.builds(
    _steps, st.lists(st.lists(_said, min_size=1, max_size=3), max_size=6), st.booleans(), st.booleans()
)
"""The steps of a generation of up to three choices, marked as `actors/backends/marked.py` marks them."""
