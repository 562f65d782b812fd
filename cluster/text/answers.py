"""What a job answered, of its text and marks: for each choice what was said, thought and called. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cluster.messages.marks import Mark, Prompt, Stopped, Tokens, Whole
from cluster.text.choices import Segment, segments


@dataclass
class ToolCall:
    """A tool that is called. `arguments` is JSON, as the model wrote it."""

    id: str
    name: str = ""
    arguments: str = ""


@dataclass
class Choice:
    """One answer. None stands for what there is nothing of; `logprobs` has an entry, as JSON, for each token."""

    index: int
    content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCall] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[str] = field(default_factory=list)
    prompt: Prompt | None = None
    stopped: Stopped | None = None
    whole: Whole | None = None

    def add(self, segment: Segment) -> None:
        """What comes next of it."""
        match segment.turn.kind:
            case "content":
                self.content = (self.content or "") + segment.text
            case "reasoning":
                self.reasoning = (self.reasoning or "") + segment.text
            case "tool":
                self._call(segment).name += segment.text
            case "arguments":
                self._call(segment).arguments += segment.text

    def note(self, mark: Mark) -> None:
        """What else is told of it."""
        match mark:
            case Tokens(ids=ids, entries=entries):
                self.token_ids += ids
                self.logprobs += [entries] if entries else []
            case Prompt():
                self.prompt = added(self.prompt, mark)
            case Stopped():
                self.stopped = mark
            case Whole():
                self.whole = mark

    def as_whole(self) -> "Choice":
        """The same as it is read as a whole."""
        if (whole := self.whole) is None:
            return self
        calls = [ToolCall(call.id, call.name, call.arguments) for call in whole.calls]
        return replace(self, content=whole.content, reasoning=whole.reasoning, tool_calls=calls)

    def _call(self, segment: Segment) -> ToolCall:
        while len(self.tool_calls) <= segment.turn.call:
            self.tool_calls.append(ToolCall(segment.turn.id))
        return self.tool_calls[segment.turn.call]


def added(prompt: Prompt | None, mark: Prompt) -> Prompt:
    """What is known of a prompt once this is said of it, too."""
    if prompt is None:
        return mark
    return Prompt(
        prompt.at,
        prompt.choice,
        mark.ids or prompt.ids,
        mark.text or prompt.text,
        mark.logprobs or prompt.logprobs,
        mark.rendered or prompt.rendered,
        mark.first or prompt.first,
    )


def choices(text: str, marks: Sequence[Mark], count: int = 1) -> list[Choice]:
    """The answers of a job that was to give so many."""
    found = [Choice(index) for index in range(count)]
    for segment in segments(text, marks):
        found[segment.turn.choice].add(segment)
    for mark in marks:
        found[mark.choice].note(mark)
    return found


def count_of(marks: Sequence[Mark]) -> int:
    """How many choices these marks tell of."""
    return 1 + max((mark.choice for mark in marks), default=0)
