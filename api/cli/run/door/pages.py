"""HAProxy's own answers, in the shape of ours.

Where no ingress replica answers, HAProxy does, and Ray Serve has it do so in plain text. What HAProxy cannot read as
HTTP at all, or headers that do not come in time, it answers in HTML, whatever its configuration.
"""

from pathlib import Path

import msgspec

from actors.machine import private_files
from api.http.answers import error_body
from cluster.errors import BadRequest, InfernetError, InternalError, NoCapacity

_REASONS = {400: "Bad Request", 500: "Internal Server Error", 503: "Service Unavailable"}
# Only of 503 it is certain that no replica has begun to do what was asked.
_PAGES: dict[int, InfernetError] = {
    400: BadRequest("The request is not valid HTTP"),
    408: BadRequest("The request did not arrive in time"),
    500: InternalError(),
    502: InternalError("The connection to the server was lost; what was asked may have been done"),
    503: NoCapacity("No ingress replica answers; try again"),
    504: InternalError("The server does not answer; what was asked may have been done"),
}


def write_pages(folder: Path) -> list[str]:
    """Write the pages into `folder`. Gives the lines of HAProxy's configuration that name them."""
    for status, error in _PAGES.items():
        with private_files.opened(folder / f"{status}.http", "w") as file:
            file.write(_page(error))
    return [f"errorfile {status} {folder}/{status}.http" for status in _PAGES]


def _page(error: InfernetError) -> str:
    """A whole answer, as HAProxy sends it: one that tells to come back says when."""
    body = msgspec.json.encode(error_body(error)).decode()
    head = [
        f"HTTP/1.1 {error.status} {_REASONS[error.status]}",
        "Content-Type: application/json",
        f"Content-Length: {len(body.encode())}",
        "Cache-Control: no-cache",
        *(["Connection: close"] if isinstance(error, BadRequest) else []),
        *(["Retry-After: 1"] if isinstance(error, NoCapacity) else []),
    ]
    return "\r\n".join([*head, "", ""]) + body
