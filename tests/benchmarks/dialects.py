"""What differs between the APIs under test: where a request goes, what it says, how its events read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx
import msgspec

TEMPERATURE = 0.7


@dataclass(frozen=True)
class Usage:
    """The tokens of a request and its answer, as the server counts them."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Event:
    """One server-sent event: its text, of whatever kind, the usage if it tells it, and whether it is the clean end."""

    text: str = ""
    usage: Usage | None = None
    done: bool = False


DONE = Event(done=True)


class Dialect(Protocol):
    """An API, at a server. Crosses to the client's process by pickle."""

    @property
    def url(self) -> str:
        """Where requests are posted."""

    @property
    def headers(self) -> dict[str, str]:
        """Sent with every request."""

    def body(self, prompt: str, output_tokens: int) -> dict[str, Any]:
        """A request for a streamed answer."""

    def event(self, data: bytes) -> Event:
        """What one event's `data` says. Raises ValueError for an error event."""


@dataclass(frozen=True)
class Jobs:
    """This project's POST /api/v1/jobs."""

    base_url: str
    key: str
    model: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{self.base_url}/api/v1/jobs"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def body(self, prompt: str, output_tokens: int) -> dict[str, Any]:
        return {**_body(self.model, prompt, output_tokens), **self.fields}

    def event(self, data: bytes) -> Event:
        if data == b"[DONE]":
            return DONE
        fields = msgspec.json.decode(data)
        if "error" in fields:
            raise ValueError(f"the job failed: {fields}")
        text: str | None = fields.get("text")
        return Event(_of_calls(fields["tool_calls"]) if text is None else text)

    def result(self, http: httpx.Client, job_id: str) -> tuple[str, Usage]:
        """What the server says of an ended job: its text and its tokens."""
        answer = http.get(f"{self.url}/{job_id}", headers=self.headers).raise_for_status()
        result: dict[str, Any] = answer.json()["result"]
        return (result["content"] or "") + _of_calls(result.get("tool_calls", ())), _usage(result["usage"])


@dataclass(frozen=True)
class ChatCompletions:
    """OpenAI's POST /v1/chat/completions, as vLLM's own server has it. The last event tells the usage."""

    base_url: str
    model: str
    key: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{self.base_url}/v1/chat/completions"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def body(self, prompt: str, output_tokens: int) -> dict[str, Any]:
        body = _body(self.model, prompt, output_tokens)
        return {**body, "stream_options": {"include_usage": True}, **self.fields}

    def event(self, data: bytes) -> Event:
        if data == b"[DONE]":
            return DONE
        fields = msgspec.json.decode(data)
        if "error" in fields:
            raise ValueError(f"the request failed: {fields}")
        usage, choices = fields.get("usage"), fields["choices"]
        delta: dict[str, Any] = choices[0]["delta"] if choices else {}
        text = (delta.get("content") or "") + _of_calls(delta.get("tool_calls") or ())
        return Event(text, _usage(usage) if usage else None)


def _body(model: str, prompt: str, output_tokens: int) -> dict[str, Any]:
    return {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": output_tokens,
        "temperature": TEMPERATURE,
        "top_p": 1.0,
        "stream": True,
    }


def _of_calls(calls: Sequence[Mapping[str, Any]]) -> str:
    """The text of calls of tools, or of parts of them."""
    told = [call.get("function", call) for call in calls]
    return "".join((each.get("name") or "") + (each.get("arguments") or "") for each in told)


def _usage(fields: Mapping[str, int]) -> Usage:
    return Usage(fields["prompt_tokens"], fields["completion_tokens"])
