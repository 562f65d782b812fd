"""A generation whose text means more than an answer: it has several choices, thinks, calls tools, or tells its tokens.

What is told of it is marked (`cluster/messages/marks.py`). What its text means is found out once, here, token by token;
so it is again when it goes on from what another engine told.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from actors.backends.base import Chunk
from actors.backends.generation import Generation
from actors.backends.stop_strings import StopStringFilter
from cluster.messages.marks import FinishReason, Mark, Prompt, Stopped, TextKind, Tokens, Turn, Whole
from cluster.messages.money import Usage
from cluster.messages.work import Dispatch, End, Finished
from cluster.text.choices import ChoiceOutput, by_choice, last_turn


class Meant(NamedTuple):
    """Text, and of which kind it is. `call` counts the tool calls of a choice; `id` is the call's."""

    kind: TextKind
    text: str
    call: int = 0
    id: str = ""


class Interpreter(Protocol):
    """Says what one choice's text means, told of it in its order."""

    def read(self, text: str, token_ids: Sequence[int], finished: bool) -> Sequence[Meant]:
        """What these tokens, whose text this is, add to what is known; nothing while that is not clear."""
        ...

    def reasoning_tokens(self, token_ids: Sequence[int]) -> int | None:
        """How many of a choice's tokens are thoughts; None where the model does not think."""
        ...

    def finish_reason(self, reason: FinishReason) -> FinishReason:
        """Why the choice ended, given why its tokens did."""
        ...

    def whole(self, reason: FinishReason) -> Whole | None:
        """How all that it was told is read at once, given why the tokens ended; None where that says the same."""
        ...


class Plain:
    """An answer that is an answer."""

    def read(self, text: str, token_ids: Sequence[int], finished: bool) -> Sequence[Meant]:
        return [Meant("content", text)] if text else []

    def reasoning_tokens(self, token_ids: Sequence[int]) -> int | None:
        return None

    def finish_reason(self, reason: FinishReason) -> FinishReason:
        return reason

    def whole(self, reason: FinishReason) -> Whole | None:
        return None


class Token(NamedTuple):
    """What a step brought: a token, the text it brought, and its logprobs as JSON where they are told."""

    text: str
    token_id: int
    logprobs: str = ""


class _Choice:
    """Where one choice stands. Of its tokens, `untold` are those of which nothing has been told yet."""

    def __init__(self, dispatch: Dispatch, interpreter: Interpreter, had: ChoiceOutput) -> None:
        sampling = dispatch.job.sampling
        self.interpreter = interpreter
        self.token_ids = list(had.token_ids)
        self.tokens = had.stopped.tokens if had.stopped else len(had.token_ids)
        self.finish_reason: FinishReason | None = had.stopped.finish_reason if had.stopped else None
        self.stop_reason = had.stopped.stop_reason if had.stopped else None
        self.untold: deque[Token] = deque()
        unstoppable = sampling.min_tokens - len(self.token_ids)
        self.stop_strings = StopStringFilter(sampling.stop, sampling.include_stop_str_in_output, unstoppable)

    def take_untold(self, count: int) -> list[Token]:
        return [self.untold.popleft() for _ in range(count)]


class MarkedGeneration(Generation):
    """Counts the tokens of all choices, and turns what a step brought for one of them into a chunk."""

    __slots__ = ("_choices", "_held", "_marks", "_position", "_tells_stops", "_tells_tokens", "_turn")

    def __init__(
        self,
        dispatch: Dispatch,
        prompt_tokens: int,
        interpreters: Sequence[Interpreter],
        prompt_ids: Sequence[int] = (),
        prompts: Sequence[Prompt] = (),
        hides_tokens: bool = False,
    ) -> None:
        """There is one interpreter for each choice, told of what the choice goes on from. `prompts` are told first.

        `hides_tokens`: they are not told, whoever asks, because they would tell what the interpreter withholds.
        """
        super().__init__(dispatch, prompt_tokens, prompt_ids)
        had = by_choice(dispatch.resume, len(interpreters))
        self._choices = [_Choice(dispatch, *each) for each in zip(interpreters, had, strict=True)]
        self._position = len(dispatch.resume.text)
        self._turn = last_turn(dispatch.resume.marks)
        self._tells_stops = len(interpreters) > 1
        sampling = dispatch.job.sampling
        wanted = sampling.return_token_ids or not sampling.others.keys().isdisjoint(_LOGPROBS)
        self._tells_tokens = wanted and not hides_tokens
        self._held: dict[int, list[Token]] = {number: [] for number in range(len(interpreters))}
        self._marks: list[Mark] = [] if dispatch.resume.marks else list(prompts)

    def tell_prompt(self, choice: int, logprobs: str) -> None:
        """The prompt that this choice answers has these logprobs."""
        for place, mark in enumerate(self._marks):
            if isinstance(mark, Prompt) and mark.choice == choice:
                self._marks[place] = replace(mark, logprobs=logprobs)
                return
        self._marks.append(Prompt(self._position, choice, logprobs=logprobs))

    def goes_on(self, choice: int) -> bool:
        return self._choices[choice].finish_reason is None

    def end_choice(self, choice: int, finish_reason: FinishReason) -> Chunk | None:
        return self.advance_choice(choice, (), finish_reason)

    def conclude(self) -> Chunk:
        self.ended = True
        return _Told(self, 0).chunk(self._end())

    def advance_choice(
        self,
        number: int,
        tokens: Sequence[Token],
        finish_reason: FinishReason | None = None,
        stop_reason: int | str | None = None,
    ) -> Chunk | None:
        """As `advance`, for one choice: `goes_on` tells whether the backend has to generate more of it."""
        choice = self._choices[number]
        pieces: list[tuple[str, int]] = []
        for token in tokens:
            choice.tokens += 1
            choice.token_ids.append(token.token_id)
            choice.untold.append(token)
            pieces += [(text, len(ids)) for text, ids in choice.stop_strings.push(token.text, token.token_id)]
            if choice.stop_strings.stopped:
                finish_reason, stop_reason = "stop", choice.stop_strings.found
                break
        if finish_reason is not None and not choice.stop_strings.stopped:
            pieces += [(text, len(ids)) for text, ids in choice.stop_strings.flush()]
        told = _Told(self, number)
        for text, count in pieces[:-1] if finish_reason else pieces:
            told.read(text, choice.take_untold(count), finished=False)
        if finish_reason is None:
            return told.chunk(None) if told.has_news else None
        text, count = pieces[-1] if pieces else ("", 0)
        told.read(text, choice.take_untold(count), finished=True, last=list(choice.untold))
        return self._finish_choice(number, told, finish_reason, stop_reason)

    def _finish_choice(
        self, number: int, told: "_Told", finish_reason: FinishReason, stop_reason: int | str | None
    ) -> Chunk | None:
        choice = self._choices[number]
        choice.finish_reason = reason = choice.interpreter.finish_reason(finish_reason)
        choice.stop_reason = stop_reason
        if self._tells_tokens and (rest := [*self._held[number], *choice.untold]):
            self._marks.append(_tokens(self._position, number, rest))
        if whole := choice.interpreter.whole(finish_reason):
            self._marks.append(replace(whole, at=self._position, choice=number))
        if self._tells_stops:
            self._marks.append(Stopped(self._position, number, reason, stop_reason, choice.tokens))
        if any(each.finish_reason is None for each in self._choices):
            return told.chunk(None)
        self.ended = True
        return told.chunk(self._end())

    def _end(self) -> Finished:
        first = self._choices[0]
        return Finished(self._usage, first.finish_reason or "stop", first.stop_reason)

    @property
    def _usage(self) -> Usage:
        counted = [choice.interpreter.reasoning_tokens(choice.token_ids) for choice in self._choices]
        thought = [count for count in counted if count is not None]
        completion_tokens = sum(choice.tokens for choice in self._choices)
        return Usage(self.prompt_tokens, completion_tokens, reasoning_tokens=sum(thought) if thought else None)


_LOGPROBS = ("logprobs", "logprob_token_ids")


class _Told:
    """What is told in one chunk, as it gathers."""

    def __init__(self, generation: MarkedGeneration, number: int) -> None:
        self._of = generation
        self._number = number
        self._texts: list[str] = []
        self._token_ids: list[int] = []
        self._ends: list[int] = []
        self._begin = generation._position

    @property
    def has_news(self) -> bool:
        return bool(self._texts or self._of._marks)

    def read(self, text: str, tokens: Sequence[Token], finished: bool, last: Sequence[Token] = ()) -> None:
        """Have the choice's interpreter read this text of these tokens; `last` ended the choice without text."""
        of, number = self._of, self._number
        ids = [token.token_id for token in (*tokens, *last)]
        meant = [each for each in of._choices[number].interpreter.read(text, ids, finished) if each.text]
        held = of._held[number]
        held += tokens
        if not meant:
            return
        begin = of._position
        for each in meant:
            self._add(each)
            if each is meant[0] and (of._tells_tokens if held else of._tells_stops):
                of._marks.append(_tokens(begin, number, held))
            self._texts.append(each.text)
            of._position += len(each.text)
        self._token_ids += [token.token_id for token in held]
        self._ends += [begin - self._begin] * (len(held) - 1) + [of._position - self._begin] * bool(held)
        held.clear()

    def _add(self, meant: Meant) -> None:
        turn = Turn(self._of._position, meant.kind, self._number, meant.call, meant.id)
        if replace(turn, at=0, id="") != replace(self._of._turn, at=0, id=""):
            self._of._turn = turn
            self._of._marks.append(turn)

    def chunk(self, end: End | None) -> Chunk:
        of = self._of
        marks, of._marks = tuple(of._marks), []
        chunk = Chunk(
            of.job_id, of.attempt, "".join(self._texts), tuple(self._token_ids), 0, end, tuple(self._ends), marks=marks
        )
        return of.announce(chunk)


def _tokens(at: int, choice: int, tokens: Sequence[Token]) -> Tokens:
    told = [token.logprobs for token in tokens if token.logprobs]
    return Tokens(at, choice, tuple(token.token_id for token in tokens), f"[{','.join(told)}]" if told else "")
