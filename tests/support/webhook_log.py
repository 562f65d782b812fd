"""A receiver of webhooks for systems in other processes: a thread that notes what it is sent, and answers."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self


class Noted(NamedTuple):
    """One attempt."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.body)
        return told


class WebhookLog:
    """Use with `with`. `status` says with what an attempt is answered."""

    def __init__(self, status: Callable[[Noted], int] = lambda _: 204) -> None:
        self.noted: list[Noted] = []
        self.status = status
        self._changed = threading.Condition()
        log = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                noted = Noted(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                self.send_response(log.note(noted))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def note(self, noted: Noted) -> int:
        with self._changed:
            self.noted.append(noted)
            self._changed.notify_all()
        return self.status(noted)

    def of(self, path: str) -> list[Noted]:
        return [each for each in self.noted if each.path == path]

    def wait_for(self, wanted: Callable[[], object], within_s: float = 30.0, what: str = "a webhook") -> None:
        """Return once this is so; it is looked at whenever something comes."""
        give_up_s = time.monotonic() + within_s
        with self._changed:
            while not wanted():
                left_s = give_up_s - time.monotonic()
                assert left_s > 0, f"{what} did not come within {within_s:.0f} s; {len(self.noted)} did"
                self._changed.wait(left_s)
