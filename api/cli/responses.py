"""What a server's response means: a JSON object, a refusal, or a stream of text that may break."""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
from httpx_sse import EventSource, ServerSentEvent, SSEError

Json = dict[str, Any]

_DONE = "[DONE]"
# The number of a text that is not the first one, with the dash, and a position in it.
_ID = re.compile(r"(?P<text>[0-9]+-)?(?P<position>[0-9]+)")


class Said(NamedTuple):
    """Text of a job, and what it is: an event's own word for it, `text`, `reasoning` or `tool_calls`."""

    kind: str
    text: str


class RemoteError(Exception):
    """The server refused, or the job failed: `status` is the answer's, or None for an event of a stream."""

    def __init__(self, code: str, message: str, status: int | None = None) -> None:
        super().__init__(code, message, status)
        self.code = code
        self.message = message
        self.status = status

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"


def parse(text: str | bytes) -> Json:
    """The JSON object this text is. Raises RemoteError `bad_answer`."""
    try:
        body = json.loads(text)
    except ValueError as error:
        raise bad_answer() from error
    if not isinstance(body, dict):
        raise bad_answer()
    return body


def parse_list(text: str | bytes, name: str) -> Json:
    """The JSON object this text is, with a list of objects under `name`. Raises RemoteError `bad_answer`."""
    body = parse(text)
    items = body.get(name)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise bad_answer()
    return body


def parse_job(text: str | bytes) -> Json:
    """The job this text is. Raises RemoteError `bad_answer`."""
    body = parse(text)
    if not all(isinstance(body.get(name), str) for name in ("id", "status")):
        raise bad_answer()
    return body


def check(response: httpx.Response) -> httpx.Response:
    """The response, if it is no refusal. Raises RemoteError for any other than 2xx; its body must be read."""
    if response.is_success:
        return response
    try:
        body = parse(response.content)
        code, message = str(body["error"]), str(body["error_message"])
    except (RemoteError, KeyError):
        # Not Infernet's own refusal: a proxy's page, say, which would help nobody on a terminal.
        url = response.request.url.copy_with(query=None)
        code = f"http_{response.status_code}"
        message = f"{url} answered {response.status_code} {response.reason_phrase}".rstrip()
    raise RemoteError(code, message, response.status_code)


def bad_answer() -> RemoteError:
    return RemoteError("bad_answer", "The answer is not one of Infernet's: is the URL right?")


class Reader:
    """A reader of one job's text. `position` counts the code points it has yielded, as the event ids do.

    The ids of a text that is not the job's first one have its number before that, which has to be given back.
    """

    def __init__(self, position: int = 0) -> None:
        self.position = position
        self._text = ""

    @property
    def last_event_id(self) -> str:
        """Where to go on, in the server's words."""
        return f"{self._text}{self.position}"

    def read(self, source: EventSource) -> Iterator[Said]:
        """What is said beyond `position` in this stream, up to its [DONE].

        Raises RemoteError for an error event, and httpx.TransportError when the stream ends with neither.
        """
        request = source.response.request
        for event in _events(source):
            if event.data == _DONE:
                return
            start, said = self._located(event)
            if start > self.position:
                raise httpx.RemoteProtocolError(f"no text at {self.position}", request=request)
            # A server that starts earlier than asked repeats itself; the reader does not.
            text = said.text[self.position - start :]
            if text:
                self.position += len(text)
                yield Said(said.kind, text)
        raise httpx.RemoteProtocolError("the stream stopped in the middle", request=request)

    def _located(self, event: ServerSentEvent) -> tuple[int, Said]:
        """Where the event's text begins, and the text."""
        body = parse(event.data)
        if "error" in body:
            raise RemoteError(str(body["error"]), str(body.get("message", "The job failed")))
        said = _said(body)
        match = _ID.fullmatch(event.id)
        if match is None:
            return self.position, said
        self._text = match["text"] or ""
        return int(match["position"]) - len(said.text), said


def _said(body: Json) -> Said:
    """What an event says. One of tools tells the name of a call, or more of its arguments."""
    for kind in ("text", "reasoning"):
        if isinstance(body.get(kind), str):
            return Said(kind, body[kind])
    match body.get("tool_calls"):
        case [{"name": str(text)} | {"arguments": str(text)}]:
            return Said("tool_calls", text)
    raise bad_answer()


def _events(source: EventSource) -> Iterator[ServerSentEvent]:
    try:
        # Once an id has been seen, httpx-sse reports pings too, as events without data.
        yield from (event for event in source.iter_sse() if event.data)
    except SSEError as error:
        raise bad_answer() from error
