"""Reading one job's text through streams that may break."""

from collections.abc import Iterator

import httpx
from httpx_sse import EventSource, ServerSentEvent, SSEError

from api.cli.answers import RemoteError, bad_answer, parse

_DONE = "[DONE]"


class Reader:
    """A reader of one job's text. `position` counts the code points it has yielded, as the event ids do."""

    def __init__(self, position: int = 0) -> None:
        self.position = position

    def read(self, source: EventSource) -> Iterator[str]:
        """The text beyond `position` in this stream, up to its [DONE].

        Raises RemoteError for an error event, and httpx.TransportError when the stream ends with neither.
        """
        request = source.response.request
        for event in _events(source):
            if event.data == _DONE:
                return
            start, text = self._located(event)
            if start > self.position:
                raise httpx.RemoteProtocolError(f"no text at {self.position}", request=request)
            # A server that starts earlier than asked repeats itself; the reader does not.
            piece = text[self.position - start :]
            if piece:
                self.position += len(piece)
                yield piece
        raise httpx.RemoteProtocolError("the stream stopped in the middle", request=request)

    def _located(self, event: ServerSentEvent) -> tuple[int, str]:
        """Where the event's text begins, and the text."""
        body = parse(event.data)
        if "error" in body:
            raise RemoteError(str(body["error"]), str(body.get("message", "The job failed")))
        text = body.get("text")
        if not isinstance(text, str):
            raise bad_answer()
        end = int(event.id) if event.id.isdecimal() else self.position + len(text)
        return end - len(text), text


def _events(source: EventSource) -> Iterator[ServerSentEvent]:
    try:
        # Once an id has been seen, httpx-sse reports pings too, as events without data.
        yield from (event for event in source.iter_sse() if event.data)
    except SSEError as error:
        raise bad_answer() from error
