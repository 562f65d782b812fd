"""What a server's answer means: a JSON object, or a refusal."""

import json
from typing import Any

import httpx

Json = dict[str, Any]


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
