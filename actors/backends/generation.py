"""One generation: what a backend keeps of a job while it runs."""

from collections.abc import Sequence

from msgspec.structs import replace

from actors.backends.base import Chunk
from actors.backends.stop_strings import Piece, StopStringFilter
from actors.machine.log_lines import about_job
from cluster.messages.marks import FinishReason
from cluster.messages.money import Usage
from cluster.messages.work import Dispatch, End, Failed, Finished
from cluster.overflow import overflow


class Generation:
    """Counts a generation's tokens and turns what a step brought into a chunk."""

    __slots__ = (
        "_announced",
        "_prompt_ids",
        "_stop_strings",
        "about",
        "attempt",
        "cached_tokens",
        "completion_tokens",
        "ended",
        "job_id",
        "prompt_tokens",
    )

    def __init__(self, dispatch: Dispatch, prompt_tokens: int = 0, prompt_ids: Sequence[int] = ()) -> None:
        """`prompt_ids` are told with the first chunk, and so are the `cached_tokens` that were set by then.

        `about` is the `extra` of lines in the log that concern it.
        """
        self.job_id = dispatch.job.id
        self.about = about_job(dispatch.job)
        self.attempt = dispatch.attempt
        self.prompt_tokens = prompt_tokens
        self.cached_tokens: int | None = None
        self._prompt_ids = tuple(prompt_ids)
        self.completion_tokens = len(dispatch.resume.token_ids)
        self.ended = False
        self._announced = False
        sampling = dispatch.job.sampling
        self._stop_strings = StopStringFilter(
            sampling.stop, sampling.include_stop_str_in_output, sampling.min_tokens - self.completion_tokens
        )

    def advance(
        self,
        texts: Sequence[str],
        token_ids: Sequence[int],
        finish_reason: FinishReason | None = None,
        stop_reason: int | str | None = None,
    ) -> Chunk | None:
        """Take in a step's tokens and the text that each brought; `finish_reason` when the model finished with them.

        Returns the chunk to send, or None when all of it is withheld. A stop string ends the generation, whatever
        comes after it in the step: `ended` tells, the backend must then stop generating.
        """
        pieces: list[Piece] = []
        for text, token_id in zip(texts, token_ids, strict=True):
            self.completion_tokens += 1
            pieces += self._stop_strings.push(text, token_id)
            if self._stop_strings.stopped:
                finish_reason, stop_reason = "stop", self._stop_strings.found
                break
        if finish_reason is None:
            return self._chunk(pieces, None) if pieces else None
        if not self._stop_strings.stopped:
            pieces += self._stop_strings.flush()
        self.ended = True
        return self._chunk(pieces, Finished(self._usage, finish_reason, stop_reason))

    def fail(self, code: str, message: str, retryable: bool = False) -> Chunk:
        """End with an error; `message` is for the client. Text still withheld is dropped.

        `retryable`: another attempt need not fail as this one.
        """
        self.ended = True
        return replace(self._chunk([], Failed(self._usage, code, message)), retryable=retryable)

    def goes_on(self, choice: int) -> bool:
        """Whether more of this choice is to be generated. There is one."""
        return not self.ended

    def end_choice(self, choice: int, finish_reason: FinishReason) -> Chunk | None:
        """The chunk that tells that nothing more is to be generated of this choice."""
        return self.advance((), (), finish_reason)

    def conclude(self) -> Chunk:
        """The chunk that ends a generation of which everything has been told but that."""
        self.ended = True
        return self._chunk([], Finished(self._usage, "stop"))

    def check_context(self, max_tokens: int, context_length: int, prompt_tokens: int | None = None) -> Chunk | None:
        """The chunk that ends a generation whose prompt and `max_tokens` do not fit the model's context.

        `prompt_tokens` are those of the longest of several prompts.
        """
        longest = self.prompt_tokens if prompt_tokens is None else prompt_tokens
        if longest + max_tokens <= context_length:
            return None
        return self.fail("context_length_exceeded", overflow(context_length, longest, max_tokens))

    @property
    def _usage(self) -> Usage:
        return Usage(self.prompt_tokens, self.completion_tokens)

    def _chunk(self, pieces: Sequence[Piece], end: End | None) -> Chunk:
        if len(pieces) == 1:
            [(text, token_ids)] = pieces
            chunk = Chunk(self.job_id, self.attempt, text, token_ids, end=end)
        else:
            chunk = Chunk(self.job_id, self.attempt, *_joined(pieces), end=end, ends=_ends(pieces))
        return self.announce(chunk)

    def announce(self, chunk: Chunk) -> Chunk:
        """The chunk, and what is to be told with the first one."""
        if self._announced:
            return chunk
        self._announced = True
        return replace(
            chunk, prompt_tokens=self.prompt_tokens, prompt_ids=self._prompt_ids, cached_tokens=self.cached_tokens
        )


def _joined(pieces: Sequence[Piece]) -> tuple[str, tuple[int, ...]]:
    return "".join([text for text, _ in pieces]), tuple([token_id for _, ids in pieces for token_id in ids])


def _ends(pieces: Sequence[Piece]) -> tuple[int, ...]:
    """Where each token ends: all but the last of a piece bring no text."""
    ends: list[int] = []
    begin = 0
    for text, token_ids in pieces:
        end = begin + len(text)
        ends += [begin] * (len(token_ids) - 1) + [end] * bool(token_ids)
        begin = end
    return tuple(ends)
