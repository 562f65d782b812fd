"""A hub of one model, as far as it is asked what the model takes."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from tests.support.hub_cache import COMMIT


@contextmanager
def fake_hub(repo: str, stored: Mapping[str, int], files: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Its address. The model has these `files`, and so many numbers of each type are stored of it."""
    info = {"id": repo, "sha": COMMIT, "safetensors": {"parameters": stored, "total": sum(stored.values())}}
    answers = {f"/{repo}/resolve/main/{name}": content for name, content in files.items()}
    answers[f"/api/models/{repo}"] = info

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _answer(self, with_body: bool) -> None:
            found = answers.get(self.path.partition("?")[0])
            body = json.dumps(found).encode() if found is not None else b""
            self.send_response(404 if found is None else 200)
            headers = {"Content-Length": str(len(body)), "X-Repo-Commit": COMMIT, "ETag": f'"{abs(hash(body))}"'}
            if found is None:
                headers |= {"X-Error-Code": "EntryNotFound"}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
