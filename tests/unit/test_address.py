"""Where a system listens, and where its clients find it."""

import socket
from contextlib import closing

import pytest

from api.cli.connection import Connection
from api.cli.run.address import as_serve_takes, require_free, url_of
from api.cli.run.ports import free_port
from cluster.errors import StartError


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("localhost", "http://localhost:80"),
        ("10.0.0.5", "http://10.0.0.5:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
        ("fd00::2", "http://[fd00::2]:80"),
    ],
)
def test_the_url_is_one_that_clients_can_use(host: str, url: str) -> None:
    assert url_of(host, 80) == url
    assert Connection(url, "inft_x").url == url


def test_all_addresses_of_ipv6_are_not_those_of_ipv4() -> None:
    assert socket.inet_pton(socket.AF_INET6, as_serve_takes("::")) == bytes(16)
    assert as_serve_takes("::") != "::"  # Ray Serve would listen at 0.0.0.0
    assert as_serve_takes("10.0.0.5") == "10.0.0.5"


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost", "::1", "::"])
def test_a_port_that_is_free_and_one_that_is_taken(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    port = free_port()
    require_free(host, port)
    taken = pytest.raises(StartError, match=r"^cannot listen on \S+:\d+: Address already in use$")
    with closing(socket.create_server((host, port), family=family)), taken:
        require_free(host, port)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("nobody.invalid", "cannot listen on nobody.invalid:8000: nobody knows a machine of this name"),
        ("256.1.1.1", "cannot listen on 256.1.1.1:8000: nobody knows a machine of this name"),
        ("x" * 64, f"cannot listen on {'x' * 64}:8000: nobody knows a machine of this name"),
        ("192.0.2.77",
         "cannot listen on 192.0.2.77:8000: it is no address of this machine (0.0.0.0 stands for all that it has)"),
        ("2001:db8::7",
         "cannot listen on [2001:db8::7]:8000: it is no address of this machine (0.0.0.0 stands for all that it has)"),
    ],
)  # fmt: skip
def test_where_nobody_can_listen(host: str, reason: str) -> None:
    with pytest.raises(StartError) as refused:
        require_free(host, 8000)
    assert refused.value.message == reason
