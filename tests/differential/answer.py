"""What a server answers to a request: whole, or as the events of a stream."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import httpx

from tests.differential.case import Case, Mode

_TIMEOUT_S = 60.0
_EVENT = "data: "
DONE = "[DONE]"


@dataclass(frozen=True)
class Answer:
    """`body` is the JSON that was sent, or of a stream the list of its events' data; other text stays text."""

    status: int
    media_type: str
    body: Any

    @property
    def is_stream(self) -> bool:
        return self.media_type == "text/event-stream"

    @property
    def told_status(self) -> int:
        """The status, also of a refusal that came as the first event of a stream."""
        error = self.error
        return error["code"] if self.is_stream and isinstance(error.get("code"), int) else self.status

    @property
    def error(self) -> Mapping[str, Any]:
        """What is said of a refusal; nothing where there is none, or none in the shape of OpenAI's."""
        body = self.body[0] if self.is_stream and self.body else self.body
        error = body.get("error") if isinstance(body, Mapping) else None
        return error if isinstance(error, Mapping) else {}

    @property
    def is_refusal(self) -> bool:
        return self.told_status >= 400


class Asker:
    """A client of one of the two servers."""

    def __init__(self, url: str, key: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ask(self, case: Case, mode: Mode) -> Answer:
        """Raises httpx.HTTPError where there is no answer."""
        return read(self._send(case.path, case.body_in(mode)))

    def _send(self, path: str, body: Mapping[str, Any] | bytes | None) -> httpx.Response:
        if body is None:
            return self._http.get(path)
        if isinstance(body, bytes):
            return self._http.post(path, content=body, headers={"Content-Type": "application/json"})
        return self._http.post(path, json=body)


def read(response: httpx.Response) -> Answer:
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
    body = _events(response.text) if media_type == "text/event-stream" else _json(response.text)
    return Answer(response.status_code, media_type, body)


def _events(text: str) -> list[Any]:
    """The data of each event. Comments, which keep a connection alive, and ids are no data."""
    data = [line.removeprefix(_EVENT) for line in text.splitlines() if line.startswith(_EVENT)]
    return [line if line == DONE else _json(line) for line in data]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
