"""Whether the clients could be what a window is bound by."""

from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import load
from tests.benchmarks.servers.canned import Canned

_CLIENTS = 64
_SECONDS = 3.0


@dataclass(frozen=True)
class ClientCheck:
    """What the clients took from a server that only repeats a canned answer, one event per token, and their cores."""

    tokens_per_s: float
    client_cores: float


def check(folder: Path, output_tokens: int) -> ClientCheck:
    with Canned(folder) as server:
        loop = load.ClosedLoop(_CLIENTS, output_tokens, _SECONDS)
        window = load.run(server.dialect(), loop, {"server": [process.pid for process in server.processes()]})
    return ClientCheck(len(window.answers) * output_tokens / window.wall_s, window.cpu_s["client"] / window.wall_s)
