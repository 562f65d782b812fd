"""What a running system listens on is what docs/operations.md says, and nothing else."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from tests.support.serving import Serving

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
# Each process by its title, and of a program that runs in a Python of its own, by the program.
_ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \|", re.MULTILINE)
_TITLE = re.compile(r"ray::\w+|[\w.:]+")
DOOR, LOOPBACK = "`server.host`, `server.port`", "loopback"


class Listening(NamedTuple):
    """A port that a process listens on."""

    process: str
    host: str
    port: int


@pytest.fixture(scope="module")
def listed() -> Mapping[str, Sequence[str]]:
    """The addresses that the page gives to each process."""
    table = PAGE.read_text().partition("\n## Doors and ports\n")[2].partition("\n## ")[0]
    rows: dict[str, list[str]] = defaultdict(list)
    for process, _, address in _ROW.findall(table):
        rows[process].append(address.strip())
    return rows


@pytest.fixture(scope="module")
def listening(serving: Serving) -> Sequence[Listening]:
    serving.wait_until_ready("capitals")
    return [port for process in serving.processes() for port in _ports(process)]


def test_each_port_is_listed_and_is_where_it_is_said_to_be(
    serving: Serving, listed: Mapping[str, Sequence[str]], listening: Sequence[Listening]
) -> None:
    found = {DOOR: 0, LOOPBACK: 0}
    for port in listening:
        address = DOOR if port.port == serving.port else LOOPBACK
        assert address in listed[port.process], port
        assert port.host == "127.0.0.1", port
        found[address] += 1
    assert found[DOOR] == 1
    assert found[LOOPBACK] > 10


def test_each_process_that_is_listed_runs(serving: Serving, listed: Mapping[str, Sequence[str]]) -> None:
    assert set(listed) <= {_name(process) for process in serving.processes()}


def _ports(process: psutil.Process) -> list[Listening]:
    opened = process.net_connections("tcp")
    return [
        Listening(_name(process), _plain(each.laddr.ip), each.laddr.port)
        for each in opened
        if each.status == psutil.CONN_LISTEN
    ]


def _plain(address: str) -> str:
    """An address of IPv4, also where it is written as one of IPv6."""
    parsed = ip_address(address)
    return str(parsed.ipv4_mapped or parsed) if isinstance(parsed, IPv6Address) else address


def _name(process: psutil.Process) -> str:
    arguments = process.cmdline()
    programs = [Path(each).name for each in arguments[1:] if each.endswith((".py", "infernet"))]
    if process.name().startswith("python") and programs:
        return programs[0]
    match = _TITLE.match(process.name())
    assert match is not None, arguments
    return match[0]
