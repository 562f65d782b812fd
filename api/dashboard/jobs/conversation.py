"""What a job was asked and what it answered, as a page shows it: turns, and of each what was said, of which kind.

A page stays small: of a long dialogue the last turns are shown, of a long text its beginning, and how much is left out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from cluster.messages.marks import Mark
from cluster.messages.work import ChatMessage, Job, Sampling
from cluster.text.answers import Choice, choices, count_of

MOST_CHARACTERS = 30_000
"""Of a conversation, on a page."""

_USUAL = Sampling()
_LONGEST = 8_000
_LEAST = 200  # what each thing said counts, however short it is

Kind = Literal["text", "thought", "call", "medium", "data"]


class Said(NamedTuple):
    """Something of a turn. `name` is that of a tool that is called; `left_out` so many characters are not shown."""

    kind: Kind
    text: str
    name: str = ""
    left_out: int = 0


class Turn(NamedTuple):
    """One turn of a dialogue. `title` is who speaks, nothing where that is plain."""

    title: str
    said: Sequence[Said]


class Question(NamedTuple):
    """A single question, as it can be asked again: to which model, what, and how the answer was to be drawn."""

    model: str
    system: str
    message: str
    sampling: Sampling


class Conversation(NamedTuple):
    """The turns that are shown; so many before them are not."""

    turns: Sequence[Turn]
    earlier: int = 0


def asked(job: Job) -> Conversation:
    """What the job asks."""
    if job.form is None:
        return _shown([Turn(message.role, [Said("text", message.content)]) for message in job.messages])
    body = msgspec.json.decode(job.form.body)
    if messages := body.get("messages"):
        return _shown([_turn(message) for message in messages])
    if (prompt := body.get("prompt")) is not None:
        return _shown([Turn("prompt", [each]) for each in _prompts(prompt)])
    return _shown([Turn(str(name), [_value(value)]) for name, value in body.items() if _is_asked_about(value)])


def question(job: Job) -> Question | None:
    """What this job asks, where that is one message, with a system's before it or without, and nothing unusual."""
    usual = replace(
        _USUAL, **{name: getattr(job.sampling, name) for name in ("max_tokens", "temperature", "top_p", "seed")}
    )
    if job.sampling != usual:
        return None
    match job.form, job.messages:
        case None, (ChatMessage("user", message),):
            return Question(job.asked_for, "", message, job.sampling)
        case None, (ChatMessage("system", system), ChatMessage("user", message)):
            return Question(job.asked_for, system, message, job.sampling)
    return None


def answered(content: str, marks: Sequence[Mark]) -> Conversation:
    """What it answered, or had of an answer: a turn for each of several choices."""
    several = choices(content, marks, count_of(marks))
    titles = [""] if len(several) == 1 else [f"answer {choice.index + 1}" for choice in several]
    return _shown([Turn(title, list(_of_choice(choice))) for title, choice in zip(titles, several, strict=True)])


def _of_choice(choice: Choice) -> Iterator[Said]:
    if choice.reasoning:
        yield Said("thought", choice.reasoning)
    if choice.content:
        yield Said("text", choice.content)
    for call in choice.tool_calls:
        yield Said("call", call.arguments, call.name)


def _turn(message: Mapping[str, Any]) -> Turn:
    """A message of a chat request, as it was sent."""
    name = message.get("name") or message.get("tool_call_id")
    title = f"{message['role']} ({name})" if name else str(message["role"])
    return Turn(title, list(_of_message(message)))


def _of_message(message: Mapping[str, Any]) -> Iterator[Said]:
    if thoughts := message.get("reasoning") or message.get("reasoning_content"):
        yield Said("thought", str(thoughts))
    content = message.get("content")
    for part in [content] if isinstance(content, str) else content or []:
        yield _part(part)
    for call in message.get("tool_calls") or []:
        called = call.get("function") or {}
        yield Said("call", _text(called.get("arguments", "")), str(called.get("name", "")))


def _part(part: Any) -> Said:
    match part:
        case str():
            return Said("text", part)
        case {"type": "text", "text": str(text)}:
            return Said("text", text)
        case {"type": "image_url" | "audio_url" as kind}:
            return Said("medium", "Picture" if kind == "image_url" else "Sound")
        case _:
            return _value(part)


def _prompts(prompt: Any) -> Iterator[Said]:
    """The prompts of a completion: a text, token ids, or several of either."""
    if isinstance(prompt, str) or not isinstance(prompt[0], (str, list)):
        prompt = [prompt]
    for each in prompt:
        yield Said("text", each) if isinstance(each, str) else _value(each)


def _is_asked_about(value: Any) -> bool:
    return isinstance(value, (str, list, dict))


def _value(value: Any) -> Said:
    return Said("text", value) if isinstance(value, str) else Said("data", _text(value))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _shown(turns: Sequence[Turn]) -> Conversation:
    """As many of the last turns as there is room for."""
    room = MOST_CHARACTERS
    shown: list[Turn] = []
    for turn in reversed(turns):
        if room <= 0:
            break
        said = list(_clipped(turn.said, room))
        room -= sum(max(_LEAST, len(each.text)) for each in said) or _LEAST
        shown.append(Turn(turn.title, said))
    return Conversation(shown[::-1], len(turns) - len(shown))


def _clipped(said: Iterable[Said], room: int) -> Iterator[Said]:
    for each in said:
        if room <= 0:
            return
        text = each.text[: min(_LONGEST, room)]
        room -= max(_LEAST, len(text))
        yield each._replace(text=text, left_out=len(each.text) - len(text))
