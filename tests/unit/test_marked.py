"""Generations whose text means more than an answer: however steps cut them, and whoever goes on, they tell the same."""

from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.backends.base import Chunk
from actors.backends.marked import Interpreter, MarkedGeneration, Meant, Plain, Token
from cluster.messages.marks import FinishReason, Prompt, TextKind, Whole
from cluster.messages.work import Dispatch, End, Finished, Output, Sampling
from cluster.text.answers import choices
from cluster.text.choices import ChoiceOutput, by_choice, segments
from cluster.text.token_log import TokenLog
from tests.support.ledger_stage import job

PROMPT_TOKENS = 3


class Thinking:
    """Reads `<` as the begin of a thought and `>` as its end, and withholds `a` until it has seen what follows.

    As a whole, an answer that has a thought is nothing else.
    """

    def __init__(self) -> None:
        self._kind: TextKind = "content"
        self._held = ""
        self._read = ""

    def read(self, text: str, token_ids: Sequence[int], finished: bool) -> Sequence[Meant]:
        self._read += text
        meant: list[Meant] = []
        for letter in text:
            if letter == "a":
                self._held += letter
            else:
                meant.append(Meant(self._kind, self._held + letter.strip("<>")))
                self._held = ""
                self._kind = {"<": "reasoning", ">": "content"}.get(letter, self._kind)  # type: ignore[assignment]
        if finished:
            meant.append(Meant(self._kind, self._held))
        return [each for each in meant if each.text]

    def reasoning_tokens(self, token_ids: Sequence[int]) -> int | None:
        return sum(token_id % 2 for token_id in token_ids)

    def finish_reason(self, reason: FinishReason) -> FinishReason:
        return reason

    def whole(self, reason: FinishReason) -> Whole | None:
        return Whole(reasoning=self._read, finish_reason=reason) if "<" in self._read else None


class Story(NamedTuple):
    """What a model generates: the tokens of each choice, and how they are asked for."""

    answers: list[list[Token]]
    sampling: Sampling
    thinks: bool

    def interpreter(self) -> Interpreter:
        return Thinking() if self.thinks else Plain()

    def resumed(self, had: ChoiceOutput) -> Interpreter:
        """One that has been told of what a choice goes on from, as `vllm/rendering.py` does it."""
        interpreter, held = self.interpreter(), list[int]()
        texts = {token.token_id: token.text for answer in self.answers for token in answer}
        for token_id in had.token_ids:
            held.append(token_id)
            if text := texts[token_id]:
                interpreter.read(text, held, finished=False)
                held = []
        return interpreter


def stories(count: int) -> st.SearchStrategy[Story]:
    texts = st.text("aé<>x", max_size=3)
    answers = st.lists(st.lists(texts, max_size=7), min_size=count, max_size=count)
    stops = st.lists(st.text("aéx", min_size=1, max_size=3), max_size=2).map(tuple)
    sampling = st.builds(
        Sampling,
        stop=stops,
        include_stop_str_in_output=st.booleans(),
        n=st.just(count),
        return_token_ids=st.booleans(),
        others=st.sampled_from([{}, {"logprobs": 0}]),
    )
    return st.builds(Story, answers.map(_tokens), sampling, st.booleans())


def _tokens(answers: list[list[str]]) -> list[list[Token]]:
    """Each token has an id of its own, and logprobs that say which it is."""
    return [
        [Token(text, token_id, f'"{token_id}"') for token_id, text in enumerate(answer, 1000 * choice)]
        for choice, answer in enumerate(answers)
    ]


Step = tuple[int, int]
"""So many tokens of this choice."""
any_story = st.integers(1, 3).flatmap(stories)
any_steps = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), max_size=12)


def generate(story: Story, steps: Sequence[Step], resume: Output = Output()) -> list[Chunk]:
    """The chunks of the generation, which goes on from this, in these steps and what else is needed."""
    dispatch = Dispatch(replace(job(), sampling=story.sampling), 1, resume)
    count = len(story.answers)
    had = by_choice(resume, count)
    generation = MarkedGeneration(dispatch, PROMPT_TOKENS, [story.resumed(each) for each in had])
    reached = [len(each.token_ids) for each in had]
    chunks: list[Chunk | None] = []
    for choice, tokens in [*steps, *((choice, 1000) for choice in range(count))]:
        if choice >= count or not generation.goes_on(choice):
            continue
        answer = story.answers[choice]
        step = answer[reached[choice] : reached[choice] + tokens]
        reached[choice] += len(step)
        is_last = reached[choice] == len(answer)
        chunks.append(generation.advance_choice(choice, step, "length" if is_last else None))
    if not generation.ended:
        chunks.append(generation.conclude())
    return [chunk for chunk in chunks if chunk is not None]


def log_of(chunks: Sequence[Chunk], resume: Output = Output()) -> TokenLog:
    log = TokenLog(resume)
    for chunk in chunks:
        log.append(chunk.text, chunk.token_ids, chunk.ends, chunk.marks)
        if chunk.end is not None:
            log.close(chunk.end)
    return log


Told = tuple[list[tuple[str, str]], list[int], list[str], object, object]


def told(log: TokenLog, count: int) -> list[Told]:
    """What is told of each choice, wherever in the text that is."""
    answered = choices(log.text, log.marks, count)
    return [
        (
            _letters(log, choice.index),
            choice.token_ids,
            choice.logprobs and ",".join(choice.logprobs).split(","),
            choice.stopped and replace(choice.stopped, at=0),
            choice.whole and replace(choice.whole, at=0),
        )
        for choice in answered
    ]


def _letters(log: TokenLog, choice: int) -> list[tuple[str, str]]:
    found = [each for each in segments(log.text, log.marks) if each.turn.choice == choice]
    return [(each.turn.kind, letter) for each in found for letter in each.text]


@given(any_story, any_steps)
def test_however_steps_are_cut_the_same_is_told(story: Story, steps: list[Step]) -> None:
    count = len(story.answers)
    at_once, in_steps = log_of(generate(story, [])), log_of(generate(story, steps))
    assert told(in_steps, count) == told(at_once, count)
    assert in_steps.end == at_once.end
    assert isinstance(in_steps.end, Finished)


@given(any_story, any_steps, any_steps, st.data())
def test_whoever_goes_on_tells_the_same_rest(
    story: Story, steps: list[Step], then: list[Step], data: st.DataObject
) -> None:
    """Of any part of what was told, as a Journal has it: `TokenLog.output` is the point to go on from."""
    count = len(story.answers)
    chunks = generate(story, steps)
    whole = log_of(chunks)
    kept = data.draw(st.integers(0, len(chunks) - 1))
    resume = log_of(chunks[:kept]).output()
    resumed = log_of(generate(story, then, resume), resume)
    assert told(resumed, count) == told(whole, count)
    if any(each.stopped for each in by_choice(resume, count)):
        # Of a choice that had ended, nobody knows any more whether tokens that brought no text were thoughts.
        assert without_thoughts(resumed.end) == without_thoughts(whole.end)
    else:
        assert resumed.end == whole.end


def without_thoughts(end: End | None) -> Finished:
    """The end, but for how many tokens were thoughts."""
    assert isinstance(end, Finished)
    return replace(end, usage=replace(end.usage, reasoning_tokens=None))


@given(any_story, any_steps)
def test_each_token_that_is_told_is_of_the_choice_that_it_came_for(story: Story, steps: list[Step]) -> None:
    count = len(story.answers)
    for choice, had in enumerate(by_choice(log_of(generate(story, steps)).output(), count)):
        ids = [token.token_id for token in story.answers[choice]]
        assert list(had.token_ids) == ids[: len(had.token_ids)]


@given(any_story, any_steps)
def test_a_chunks_tokens_end_within_its_text_and_all_are_counted(story: Story, steps: list[Step]) -> None:
    chunks = generate(story, steps)
    for chunk in chunks:
        assert len(chunk.ends) == len(chunk.token_ids)
        assert list(chunk.ends) == sorted(chunk.ends)
        assert all(0 <= end <= len(chunk.text) for end in chunk.ends)
    end = chunks[-1].end
    assert isinstance(end, Finished)
    assert end.usage.prompt_tokens == PROMPT_TOKENS
    if not story.sampling.stop:
        assert end.usage.completion_tokens == sum(map(len, story.answers))


def test_how_an_answer_is_read_as_a_whole_comes_with_its_end() -> None:
    generation = MarkedGeneration(Dispatch(job(), 1), 2, [Thinking()])
    first, last = generation.advance_choice(0, [Token("<b", 1)]), generation.advance_choice(0, [Token(">c", 2)], "stop")
    assert first is not None and last is not None
    assert not any(isinstance(mark, Whole) for mark in first.marks)
    assert last.marks[-1] == Whole(2, 0, None, "<b>c", (), "stop")


def test_prompts_are_told_first_and_once() -> None:
    sampling = Sampling(return_token_ids=True)
    dispatch = Dispatch(replace(job(), sampling=sampling), 1)
    generation = MarkedGeneration(dispatch, 2, [Plain()], prompts=[Prompt(0, 0, (8, 9))])
    generation.tell_prompt(0, "[null]")
    first, then = (generation.advance_choice(0, [Token(text, 1)]) for text in "ab")
    assert first is not None and then is not None
    assert [mark for mark in first.marks if isinstance(mark, Prompt)] == [Prompt(0, 0, (8, 9), "", "[null]")]
    assert not any(isinstance(mark, Prompt) for mark in then.marks)

    resume = log_of([first]).output()
    resumed = MarkedGeneration(replace(dispatch, resume=resume), 2, [Plain()], prompts=[Prompt(0, 0, (8, 9))])
    again = resumed.advance_choice(0, [Token("b", 1)])
    assert again is not None
    assert not any(isinstance(mark, Prompt) for mark in again.marks)


def test_who_is_told_no_thoughts_is_told_none_of_their_tokens() -> None:
    dispatch = Dispatch(replace(job(), sampling=Sampling(return_token_ids=True)), 1)
    generation = MarkedGeneration(dispatch, 2, [Plain()], hides_tokens=True)
    chunk = generation.advance_choice(0, [Token("a", 1)], "stop")
    assert chunk is not None
    assert (chunk.text, chunk.token_ids, chunk.marks) == ("a", (1,), ())
