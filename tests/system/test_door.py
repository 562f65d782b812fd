"""What HAProxy answers where no replica of ours does, and whom it does not wait for.

With the real HAProxy, and lines as Ray Serve writes them.
"""

import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import UUID

import httpx
import psutil
import pytest
import ray
from msgspec.structs import replace

from api.cli.run.door.haproxy import haproxy_script
from api.cli.run.door.limits import Limits
from api.cli.run.ports import free_port
from tests.support.plain_system import PATIENCE_S

LIMITS = Limits(connections=100, of_one_address=50, wanted=100)
CONFIG = """global
    stats socket {folder}/admin.sock mode 666 level admin expose-fd listeners
    maxconn 4096
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 1s
    option abortonclose
    option splice-request
    option splice-response
    errorfile 502 {folder}/500.http
    errorfile 503 {folder}/500.http
    errorfile 504 {folder}/500.http
frontend http_frontend
    bind {host}:{port}
    use_backend http-infernet if {{ path_beg /api }}
    default_backend default_backend
listen stats
  bind *:{stats}
  http-request return status 503
frontend prometheus
    bind :{metrics}
backend default_backend
    http-request return status 404 content-type text/plain lf-string "Path '%[path]' not found. Ping for routes."
backend http-infernet
    server replica 127.0.0.1:{replica}
"""
SERVES_PAGE = "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nOops"


@contextmanager
def haproxy(folder: Path, replica: int, host: str = "127.0.0.1", limits: Limits = LIMITS) -> Iterator[httpx.Client]:
    """A client of an HAProxy in front of this port, run as Serve runs it. `*` is what Serve writes for 0.0.0.0."""
    port, config = free_port(), folder / "haproxy.cfg"
    (folder / "500.http").write_text(SERVES_PAGE)
    ports = {"host": host, "port": port, "replica": replica, "stats": free_port(), "metrics": free_port()}
    config.write_text(CONFIG.format(folder=folder, **ports))
    script = haproxy_script(folder / "door", limits)
    process = subprocess.Popen([script, "-db", "-f", config])
    try:
        _wait_for(port)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            yield client
    finally:
        process.kill()
        process.wait()


@contextmanager
def replica(answer: bytes) -> Iterator[int]:
    """The port of a server that says this, whatever it is asked, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65_536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _wait_for(port: int) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < give_up_s, "HAProxy does not listen"
            time.sleep(0.01)


@pytest.fixture
def folder() -> Iterator[Path]:
    # HAProxy's own limit on the length of paths is shorter than a test's folder can be.
    path = Path(tempfile.mkdtemp(prefix="pages-"))
    yield path
    shutil.rmtree(path)


def test_where_nothing_answers_it_is_no_capacity(folder: Path) -> None:
    with haproxy(folder, replica=free_port()) as client:
        response = client.get("/api/v1/jobs")
    assert response.status_code == 503
    assert response.json() == {"error": "no_capacity", "error_message": "No ingress replica answers; try again"}
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Retry-After"] == "1"


def test_where_no_application_is_yet_it_is_no_capacity_too(folder: Path) -> None:
    with haproxy(folder, replica=free_port()) as client:
        response = client.get("/other")
    assert (response.status_code, response.json()["error"]) == (503, "no_capacity")


def test_a_replica_that_is_lost_while_it_answers_leaves_it_open_what_was_done(folder: Path) -> None:
    with replica(b"HTTP/1.1 2") as port, haproxy(folder, port) as client:
        response = client.post("/api/v1/jobs")
    assert (response.status_code, response.json()["error"]) == (500, "internal_error")
    assert "may have been done" in response.json()["error_message"]


def test_what_a_replicas_http_server_refuses_is_a_bad_request(folder: Path) -> None:
    refusal = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\nInvalid"
    with replica(refusal) as port, haproxy(folder, port) as client:
        response = client.get("/api/v1/jobs")
    assert (response.status_code, response.json()["error"]) == (400, "bad_request")


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/other"])
def test_its_own_answers_tell_the_requests_id_too(folder: Path, path: str) -> None:
    refused: list[list[str]] = [[], ["x" * 129], ["a b"], ['"a"'], ["-a"], ["a", "b"]]
    with haproxy(folder, replica=free_port()) as client:

        def told(given: list[str]) -> list[str]:
            headers = [("X-Request-Id", each) for each in given]
            return client.get(path, headers=headers).headers.get_list("X-Request-Id")

        # At once: it looks for a replica for seconds before it answers itself.
        with ThreadPoolExecutor() as threads:
            mine, *others = threads.map(told, [["mine"], *refused])
    assert mine == ["mine"]
    for (other,) in others:
        assert UUID(other)


def test_a_replica_hears_the_id_that_its_answer_tells(folder: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\nX-Request-Id: other\r\nX-Request-Id: more\r\nContent-Length: 0\r\n\r\n"
    with replica(answer) as port, haproxy(folder, port) as client:
        assert client.get("/api/v1/jobs", headers={"X-Request-Id": "mine"}).headers.get_list("X-Request-Id") == ["mine"]


def test_what_the_application_refuses_passes_as_it_is(folder: Path) -> None:
    body = b'{"error": "bad_request", "error_message": "model: Field required"}'
    refusal = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" + body
    with replica(refusal) as port, haproxy(folder, port) as client:
        assert client.get("/api/v1/jobs").content == body


@pytest.mark.parametrize("host", ["127.0.0.1", "*"])
def test_statistics_and_metrics_are_for_this_machine_only_and_the_door_is_as_set(folder: Path, host: str) -> None:
    with haproxy(folder, free_port(), host):
        binds = [line.split()[1] for line in (folder / "haproxy.cfg").read_text().splitlines() if " bind " in line]
    assert [bind.partition(":")[0] for bind in binds] == [host, "127.0.0.1", "127.0.0.1"]


def test_a_replica_hears_of_a_client_that_has_gone(folder: Path) -> None:
    """Also when the client's request came in parts, as most clients send it."""
    with socket.create_server(("127.0.0.1", 0)) as listening, haproxy(folder, listening.getsockname()[1]) as client:
        asking = socket.create_connection((client.base_url.host, client.base_url.port or 0))
        # More than HAProxy waits for before it passes anything on.
        begun = b"a" * 20_000
        asking.sendall(b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 20002\r\n\r\n" + begun)
        listening.settimeout(PATIENCE_S)
        serving, _ = listening.accept()
        with serving:
            serving.settimeout(PATIENCE_S)
            _read_until(serving, begun)
            asking.sendall(b"{}")
            _read_until(serving, b"{}")
            asking.close()
            # Before any timeout of HAProxy's own.
            serving.settimeout(PATIENCE_S / 2)
            assert _is_closed(serving)


GET = b"GET /api/v1/jobs HTTP/1.1\r\nHost: x\r\n\r\n"
NOTHING = b"HTTP/1.1 204 No Content\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"
HALF_HEADERS = b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\n"
HALF_BODY = HALF_HEADERS + b"Content-Length: 1000\r\n\r\n{"


@pytest.mark.parametrize("begun", [b"", HALF_HEADERS, HALF_BODY], ids=["nothing", "headers", "body"])
def test_who_does_not_come_to_the_end_of_a_request_is_not_waited_for(begun: bytes, folder: Path) -> None:
    quick = replace(LIMITS, request_s=1)
    with (
        replica(NOTHING) as port,
        haproxy(folder, port, limits=quick) as client,
        connection(client) as asking,
    ):
        asking.sendall(begun)
        heard = _read_to_the_end(asking)
    assert b"204" not in heard
    if begun == HALF_BODY:
        assert heard.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert heard.endswith(b'{"error":"bad_request","error_message":"The request did not arrive in time"}')


def test_a_connection_without_requests_is_closed(folder: Path) -> None:
    quick = replace(LIMITS, idle_s=1)
    with replica(OK) as port, haproxy(folder, port, limits=quick) as client, connection(client) as asking:
        asking.sendall(GET)
        assert _read_to_the_end(asking).endswith(b"OK")


def test_a_replica_may_take_longer_than_clients_may(folder: Path) -> None:
    quick = replace(LIMITS, request_s=1, idle_s=1, stalled_s=1)
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        haproxy(folder, listening.getsockname()[1], limits=quick) as client,
        connection(client) as asking,
    ):
        asking.sendall(GET)
        listening.settimeout(PATIENCE_S)
        serving, _ = listening.accept()
        with serving:
            asking.settimeout(2.5)
            with pytest.raises(TimeoutError):
                asking.recv(1)
            asking.settimeout(PATIENCE_S)
            serving.sendall(OK)
            assert b"200 OK" in _read_to_the_end(asking)


def test_an_address_has_no_more_connections_than_it_may_but_this_machine_has(folder: Path) -> None:
    address, few = _other_address(), replace(LIMITS, of_one_address=2)
    with replica(NOTHING) as port, haproxy(folder, port, "*", few) as client, ExitStack() as stack:
        here = [stack.enter_context(connection(client)) for _ in range(4)]
        there = [stack.enter_context(connection(client, address)) for _ in range(2)]
        _use(*there)  # they have been counted, then
        assert _is_turned_away(client, address)
        _use(*here)


def _use(*connections: socket.socket) -> None:
    for each in connections:
        each.sendall(GET)
        assert each.recv(65_536).startswith(b"HTTP/1.1 204")


def test_whoever_watches_gets_in_when_the_door_is_full(folder: Path) -> None:
    with haproxy(folder, free_port(), limits=replace(LIMITS, connections=2)) as client, ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(connection(client)).sendall(HALF_HEADERS)
        lines = (folder / "haproxy.cfg").read_text().splitlines()
        watched = next(line.split(":")[1] for line in lines[lines.index("listen stats") :] if "bind" in line)
        assert httpx.get(f"http://127.0.0.1:{watched}/", timeout=PATIENCE_S).status_code == 503


def test_what_haproxy_makes_is_for_its_owner_alone(folder: Path) -> None:
    with haproxy(folder, free_port()):
        modes = {path.name: path.stat().st_mode & 0o077 for path in (folder / "admin.sock", folder / "haproxy.cfg")}
    assert modes == {"admin.sock": 0, "haproxy.cfg": 0}


@contextmanager
def connection(client: httpx.Client, address: str = "127.0.0.1") -> Iterator[socket.socket]:
    """A connection to the HAProxy of this client, by this address of the machine."""
    with socket.create_connection((address, client.base_url.port or 0), PATIENCE_S) as made:
        yield made


def _other_address() -> str:
    """An address of this machine besides the loopback one."""
    for addresses in psutil.net_if_addrs().values():
        for each in addresses:
            if each.family == socket.AF_INET and not each.address.startswith("127."):
                return each.address
    pytest.skip("this machine has no address but the loopback one")


def _is_turned_away(client: httpx.Client, address: str) -> bool:
    try:
        with connection(client, address) as asking:
            return _is_closed(asking)
    except ConnectionResetError:
        return True


def _read_to_the_end(connection: socket.socket) -> bytes:
    heard = b""
    while part := connection.recv(65_536):
        heard += part
    return heard


def _read_until(connection: socket.socket, end: bytes) -> None:
    heard = b""
    while not heard.endswith(end):
        part = connection.recv(65_536)
        assert part, "closed too early"
        heard += part


def _is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_serve_writes_the_lines_that_are_edited() -> None:
    # Read, not imported: that would import all of Serve.
    lines = Path(ray.__file__).parent.joinpath("serve/_private/haproxy_templates.py").read_text().splitlines()
    for status in (502, 503, 504):
        assert f"    errorfile {status} {{{{ config.error_file_path }}}}" in lines
    assert "frontend http_frontend" in lines
    assert "listen stats" in lines
    assert "    option splice-request" in lines
    assert "    stats socket {{ config.socket_path }} mode 666 level admin expose-fd listeners" in lines
    assert "    maxconn {{ config.maxconn }}" in lines
    assert "    bind :{{ config.metrics_port }}" in lines
    assert "  bind *:{{ config.stats_port }}" in lines
    assert any('return status 404 content-type text/plain lf-string "Path ' in line for line in lines)
