"""Ports: whether the door's is free, and what listens where while a system runs."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from typing import Any

import psutil

from api.cli.doctor.findings import Finding, fault, ok, warning
from api.cli.doctor.subject import Subject
from api.cli.run import address, runs
from cluster.errors import StartError

_AREA = "ports"


def look(subject: Subject) -> Iterator[Finding]:
    if subject.settings is None:
        return
    server = subject.settings.server
    run = runs.recorded(subject.folder) if runs.is_claimed(subject.folder) else None
    listening = _listening()
    ours = [each for each in listening if run and _run_of(each) == run]
    holders = [each for each in listening if each.laddr.port == server.port]
    if any(each in ours for each in holders):
        yield ok(_AREA, f"port {server.port}: {_who(holders)}, of the system that runs here")
    else:
        yield _free(server.host, server.port, holders)
    if ours:
        yield _of_the_run(ours, server.port)


def _free(host: str, port: int, holders: Sequence[Any]) -> Finding:
    try:
        address.require_free(host, port)
    except StartError as error:
        who = f"; there listens {_who(holders)}" if holders else ""
        cure = f"end what listens there, or `infernet up --port {port + 1}`" if holders else "name another server.host"
        return fault(_AREA, f"{error}{who}", cure)
    return ok(_AREA, f"port {port} at {host} is free")


def _of_the_run(ours: Sequence[Any], port: int) -> Finding:
    """All of a system's sockets but the door's are for this machine alone."""
    open_ones = [each for each in ours if each.laddr.port != port and not _is_loopback(each.laddr.ip)]
    if open_ones:
        where = ", ".join(f"{each.laddr.ip}:{each.laddr.port} ({_name(each)})" for each in open_ones)
        cure = "close these ports with a firewall, or see which RAY_ variable of the environment opened them"
        return warning(_AREA, f"others can reach more than the door: {where}", cure)
    return ok(_AREA, f"the system's {len(ours)} other sockets listen on the loopback interface alone")


def _is_loopback(address: str) -> bool:
    ip = ip_address(address)
    # As a socket for both families shows those of IPv4: `::ffff:127.0.0.1`.
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return (mapped or ip).is_loopback


def _listening() -> list[Any]:
    """Every TCP socket that listens, as far as this user may know."""
    return [each for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN]


def _run_of(connection: Any) -> str | None:
    with suppress(psutil.Error):
        return runs.run_of(psutil.Process(connection.pid)) if connection.pid else None
    return None


def _who(connections: Sequence[Any]) -> str:
    return ", ".join(sorted({f"{_name(each)} at {each.laddr.ip}" for each in connections}))


def _name(connection: Any) -> str:
    if connection.pid is None:
        return "a process of another user"
    with suppress(psutil.Error):
        return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return "a process that has ended"
