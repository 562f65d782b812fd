"""The text of every token: however an engine's steps divide an answer, and wherever it is cut and goes on elsewhere."""

from collections.abc import Sequence
from functools import cache
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from actors.backends.base import Chunk
from actors.backends.generation import Generation
from actors.backends.vllm.detokenizer import NotItsText, StreamDetokenizer, replay
from cluster.ids import AccountId, JobId, KeyId
from cluster.messages.work import ChatMessage, Dispatch, End, Job, Output, Sampling
from cluster.text.token_log import TokenLog

PROMPT = "hello world what is this? SECRET SYSTEM PROMPT "
EOS = "<|end|>"


@cache
def tokenizer() -> Tokenizer:
    """A byte-level BPE that knows some English words: an emoji is four tokens."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, special_tokens=[EOS], show_progress=False)
    made.train_from_iterator(["hello world what is this", "an answer with text, yes"], trainer)
    return made


def ids_of(text: str) -> list[int]:
    ids: list[int] = tokenizer().encode(text).ids
    return ids


def detokenizer() -> StreamDetokenizer:
    return StreamDetokenizer(tokenizer(), ids_of(PROMPT))


def dispatch(resume: Output, stop: tuple[str, ...], attempt: int) -> Dispatch:
    messages = (ChatMessage("user", "?"),)
    job = Job(JobId("job"), AccountId("a"), KeyId("k"), "m", messages, Sampling(stop=stop), 0, 0)
    return Dispatch(job, attempt, resume)


class Run:
    """An attempt at an answer: an engine that brings these tokens, from `resume` on, in steps of these sizes."""

    def __init__(self, answer: Sequence[int], resume: Output, stop: tuple[str, ...], attempt: int = 1) -> None:
        self._rest = list(answer[len(resume.token_ids) :])
        self._detokenizer = detokenizer()
        replay(self._detokenizer, resume)
        order = dispatch(resume, stop, attempt)
        self._generation = Generation(order)
        self.log = TokenLog(resume, order.epoch)
        self.end: End | None = None

    def step(self, tokens: int) -> Chunk | None:
        brought, self._rest = self._rest[:tokens], self._rest[tokens:]
        texts = [self._detokenizer.text(token_id) for token_id in brought]
        chunk = self._generation.advance(texts, brought, None if self._rest else "length")
        if chunk is not None:
            self.log.append(chunk.text, chunk.token_ids, chunk.ends)
            self.end = chunk.end
        return chunk

    @property
    def text(self) -> str:
        return self.log.text


def undisturbed(answer: Sequence[int], stop: tuple[str, ...]) -> Run:
    run = Run(answer, Output(), stop)
    while run.end is None:
        run.step(1)
    return run


texts = st.lists(
    st.sampled_from(["yes ", "hello", "🦊", "👩‍🚀", "é", "日本", "a", "\n", "\ufffd", " world"]),
    min_size=1,
    max_size=8,
)
answers = st.one_of(
    texts.map(lambda parts: ids_of("".join(parts))),
    # What a model may draw: bytes that are no character, special tokens.
    st.lists(st.integers(0, 299), min_size=1, max_size=15),
)
stops = st.lists(st.sampled_from(["hello", "🦊", "s h", "a", "本\n", "never"]), max_size=2).map(tuple)


@settings(max_examples=100, deadline=None)
@given(answers, stops, st.data())
def test_any_steps_and_any_cuts_give_the_undisturbed_answer(
    answer: list[int], stop: tuple[str, ...], data: st.DataObject
) -> None:
    whole = undisturbed(answer, stop)
    run = Run(answer, Output(), stop)
    for attempt in range(2, 2 + data.draw(st.integers(0, 6))):
        if run.end is not None:
            break
        for _ in range(data.draw(st.integers(1, 4))):
            if run.end is None:
                run.step(data.draw(st.integers(1, 5)))
                assert run.log.output().text == run.log.text or run.end is not None
        if run.end is None:
            resume = run.log.output()
            if len(resume.token_ids) == len(answer):  # nothing is left: a backend ends it at once
                return
            run = Run(answer, resume, stop, attempt)
    while run.end is None:
        run.step(data.draw(st.integers(1, 5)))
    assert (run.log.output(), run.text, run.end) == (whole.log.output(), whole.text, whole.end)


@settings(max_examples=100, deadline=None)
@given(answers)
def test_every_point_to_go_on_from_is_after_a_whole_character(answer: list[int]) -> None:
    log = undisturbed(answer, ()).log
    output = log.output()
    for tokens in range(1, len(output.token_ids) + 1):
        begun = TokenLog(output)
        begun.cut(tokens)
        cut = begun.output()
        assert cut.text == output.text[: len(cut.text)]
        replay(detokenizer(), cut)


def test_a_step_that_ends_within_a_character_is_told_without_it() -> None:
    answer = ids_of("yes 🦊!")
    run = Run(answer, Output(), ())
    assert run.step(len(ids_of("yes ")) + 2) is not None
    assert (run.text, run.log.output().token_ids) == ("yes ", tuple(ids_of("yes ")))
    resumed = Run(answer, run.log.output(), (), attempt=2)
    resumed.step(99)
    assert resumed.text == "yes 🦊!"


def test_tokens_after_a_stop_string_are_not_counted_whatever_step_brought_them() -> None:
    answer = ids_of("yes hello world")
    whole, at_once = undisturbed(answer, ("hello",)), Run(answer, Output(), ("hello",))
    at_once.step(99)
    assert (at_once.text, at_once.end) == (whole.text, whole.end)
    assert whole.text == "yes "


@pytest.mark.parametrize("tokens", [1, 2, 3])
def test_what_ends_within_a_character_is_nothing_to_go_on_from(tokens: int) -> None:
    """Else the text of the prompt would come with the next token."""
    ids = [*ids_of("yes "), *ids_of("🦊")[:tokens]]
    with pytest.raises(NotItsText):
        replay(detokenizer(), Output("yes ", tuple(ids), tuple(accumulate([4] + [0] * (len(ids) - 1)))))


def test_what_is_not_the_text_of_its_tokens_is_nothing_to_go_on_from() -> None:
    with pytest.raises(NotItsText):
        replay(detokenizer(), Output("no ", tuple(ids_of("yes ")), (3,)))


def test_special_tokens_bring_no_text() -> None:
    end = tokenizer().token_to_id(EOS)
    told = detokenizer()
    assert [told.text(token_id) for token_id in (*ids_of("a"), end, *ids_of("a"))] == ["a", "", "a"]
