"""This machine's network: a port that nobody uses, and which interface has an address."""

import socket

import psutil


def free_port(address: str) -> int:
    """A port of this address that nobody uses now."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


def interface_of(address: str) -> str | None:
    """The interface that has this address; None where none has, as behind a translation of addresses."""
    interfaces = psutil.net_if_addrs()
    return next((name for name, own in interfaces.items() if any(each.address == address for each in own)), None)
