"""One generation: what a backend keeps of a job while it runs."""

from msgspec.structs import replace

from actors.backends.base import Chunk
from actors.backends.stop_strings import StopStringFilter
from cluster.messages.money import Usage
from cluster.messages.work import Dispatch, End, Failed, Finished, FinishReason


class Generation:
    """Counts a generation's tokens and turns what a step brought into a chunk."""

    __slots__ = (
        "_announced",
        "_stop_strings",
        "attempt",
        "completion_tokens",
        "ended",
        "job_id",
        "prompt_tokens",
    )

    def __init__(self, dispatch: Dispatch, prompt_tokens: int = 0) -> None:
        self.job_id = dispatch.job.id
        self.attempt = dispatch.attempt
        self.prompt_tokens = prompt_tokens
        self.completion_tokens = len(dispatch.resume.token_ids)
        self.ended = False
        self._announced = False
        self._stop_strings = StopStringFilter(dispatch.job.sampling.stop)

    def advance(self, text: str, token_ids: tuple[int, ...], finish_reason: FinishReason | None = None) -> Chunk | None:
        """Take in a step's tokens; `finish_reason` when the model finished with them.

        Returns the chunk to send, or None when all of it is withheld. A stop string ends the generation:
        `ended` tells, the backend must then stop generating.
        """
        self.completion_tokens += len(token_ids)
        text, token_ids = self._stop_strings.push(text, token_ids)
        if self._stop_strings.stopped:
            finish_reason = "stop"
        elif finish_reason is not None:
            rest, rest_ids = self._stop_strings.flush()
            text, token_ids = text + rest, token_ids + rest_ids
        if finish_reason is None:
            return self._chunk(text, token_ids, None) if text else None
        self.ended = True
        return self._chunk(text, token_ids, Finished(self._usage, finish_reason))

    def fail(self, code: str, message: str, retryable: bool = False) -> Chunk:
        """End with an error; `message` is for the client. Text still withheld is dropped.

        `retryable`: another attempt need not fail as this one.
        """
        self.ended = True
        return replace(self._chunk("", (), Failed(self._usage, code, message)), retryable=retryable)

    def check_context(self, max_tokens: int, context_length: int) -> Chunk | None:
        """The chunk that ends a generation whose prompt and `max_tokens` do not fit the model's context."""
        if self.prompt_tokens + max_tokens <= context_length:
            return None
        return self.fail(
            "context_length_exceeded",
            f"The prompt has {self.prompt_tokens} tokens; with max_tokens {max_tokens} that is more than the "
            f"model's context of {context_length}",
        )

    @property
    def _usage(self) -> Usage:
        return Usage(self.prompt_tokens, self.completion_tokens)

    def _chunk(self, text: str, token_ids: tuple[int, ...], end: End | None) -> Chunk:
        if self._announced:
            return Chunk(self.job_id, self.attempt, text, token_ids, 0, end)
        self._announced = True
        return Chunk(self.job_id, self.attempt, text, token_ids, self.prompt_tokens, end)
