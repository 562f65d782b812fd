"""How many connections the door holds at once, and for how long those that ask for nothing.

Without limits, whoever opens connections and says nothing locks everybody else out: HAProxy's places are all taken.
"""

import resource
from typing import Self

from msgspec import Struct

from cluster.settings.sections.server import Server

# A connection is one file, and another one to the ingress replica while something is asked over it.
_FILES_OF_ONE = 2
# What HAProxy has open besides: where it listens, its pollers, its looks at replicas, and pipes.
PIPES = 200
_OTHER_FILES = 1_000


class Limits(Struct, frozen=True):
    """So many `connections` at once, and of them so many from one address; how many `wanted` by the settings.

    The headers of a request arrive within `request_s` of the connection's start or their first byte, and the first
    16 KiB of its body within `request_s` of them. Without a request, a connection stays open for `idle_s`; one whose
    client takes nothing of an answer, or sends nothing of a body, for `stalled_s`.
    """

    connections: int
    of_one_address: int
    wanted: int
    request_s: int = 10
    idle_s: int = 75
    stalled_s: int = 120

    @classmethod
    def of(cls, server: Server, open_files: int) -> Self:
        """Those that the settings ask for, as far as a process may have so many files open."""
        fitting = max(1, (open_files - _OTHER_FILES) // _FILES_OF_ONE)
        connections = min(server.max_connections, fitting)
        # One address alone locks nobody out, unless the settings say that it may.
        of_one_address = server.max_connections_per_address or max(1, connections // 2)
        return cls(connections, min(of_one_address, connections), server.max_connections)

    @property
    def shortage(self) -> str | None:
        """What to tell where fewer connections fit than the settings ask for."""
        if self.connections == self.wanted:
            return None
        files = self.wanted * _FILES_OF_ONE + _OTHER_FILES
        return (
            f"no more than {self.connections} connections can be open at once, not {self.wanted} "
            f"(server.max_connections): that takes {files} open files (`ulimit -n`, LimitNOFILE=)"
        )

    def of_frontend(self) -> list[str]:
        """As lines of the HAProxy configuration's section about the door.

        Who shares this machine is not counted by its address: a proxy for TLS brings everybody's connections from one.
        An IPv6 address stands for its network of 64 bits, which one customer has.
        """
        return [
            f"maxconn {self.connections}",
            f"timeout http-request {self.request_s}s",
            f"timeout http-keep-alive {self.idle_s}s",
            f"timeout client {self.stalled_s}s",
            # Who shares this machine may be a proxy, which tells by itself whom it asks for.
            "option forwardfor except 127.0.0.0/8",
            # Browsers open connections that they may not need.
            "option http-ignore-probes",
            "stick-table type ipv6 size 1m expire 1h store conn_cur",
            "tcp-request connection track-sc0 src,ipmask(32,64) if !{ src 127.0.0.0/8 ::1 }",
            f"tcp-request connection reject if {{ sc0_conn_cur gt {self.of_one_address} }}",
        ]

    def of_requests(self) -> list[str]:
        """As lines of the same section, after whatever is to be done to a request that does not come to its end.

        A replica that has refused a request closes its connection, but HAProxy keeps the client's until the body is
        there or the client is silent for too long. What the body begins with, it may as well wait for first.
        """
        return [f"http-request wait-for-body time {self.request_s}s"]


def open_files() -> int:
    """How many files a process of this user may have open: as many as it is allowed to ask for."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return hard if hard != resource.RLIM_INFINITY else 1 << 30
