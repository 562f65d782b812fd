"""What a job's text means, where it means more than an answer: marks at positions of it.

An answer can think first, call tools, come in several choices, or be told with its tokens. The text of a job is all
that is delivered of it, of whatever kind, one after the other; a mark says what follows from its position on. Plain
answers have none.
"""

from typing import Literal

from msgspec import Struct

FinishReason = Literal["stop", "length", "tool_calls", "repetition"]
"""Why an answer ended. `repetition`: vLLM found the pattern that it was told to end answers at."""

TextKind = Literal["content", "reasoning", "tool", "arguments"]
"""Of which kind a text is. `tool` is the name of a tool that is called, `arguments` what it is called with, as JSON."""


class Turn(Struct, frozen=True, array_like=True, tag="turn"):
    """From code point `at` on, the text is of this kind, and of this choice.

    `call` counts the choice's tool calls from 0; `id` is the call's, of both its name and its arguments.
    """

    at: int
    kind: TextKind = "content"
    choice: int = 0
    call: int = 0
    id: str = ""


class Tokens(Struct, frozen=True, array_like=True, tag="tokens"):
    """The text from `at` on came with these tokens; without any, these ended the choice.

    A choice, of several, whose last text came with no token tells that by a mark of none.

    `logprobs` is JSON: an array with an entry for each of them, as OpenAI's API has it in a choice's
    `logprobs.content`; nothing where they were not asked for.
    """

    at: int
    choice: int = 0
    ids: tuple[int, ...] = ()
    logprobs: str = ""

    @property
    def entries(self) -> str:
        """Those of the logprobs, one after the other: what several marks tell can be joined."""
        return self.logprobs[1:-1]


class Stopped(Struct, frozen=True, array_like=True, tag="stopped"):
    """This choice, of several, has ended after so many tokens, and why."""

    at: int
    choice: int
    finish_reason: FinishReason
    stop_reason: int | str | None = None
    tokens: int = 0


class Prompt(Struct, frozen=True, array_like=True, tag="prompt"):
    """What a choice answers, where that was asked for: the prompt's tokens, its text, the tokens' logprobs as JSON.

    `text` is what the answer begins with, `rendered` what the model was given, `first` how the first token is called,
    for it has no logprobs. A later one adds to what an earlier one said.
    """

    at: int
    choice: int = 0
    ids: tuple[int, ...] = ()
    text: str = ""
    logprobs: str = ""
    rendered: str = ""
    first: str = ""


class Called(Struct, frozen=True, array_like=True):
    """A tool that is called. `arguments` is JSON."""

    id: str
    name: str
    arguments: str


class Whole(Struct, frozen=True, array_like=True, tag="whole"):
    """How this choice, which ends here, is read as a whole, where that is not what its stream told.

    vLLM reads an answer that is not streamed only when it is there: it writes arguments anew, and takes a call that was
    cut off for content.
    """

    at: int = 0
    choice: int = 0
    content: str | None = None
    reasoning: str | None = None
    calls: tuple[Called, ...] = ()
    finish_reason: FinishReason = "stop"


Mark = Turn | Tokens | Stopped | Prompt | Whole

PLAIN = Turn(0)
"""What a text is that nothing is said of."""
