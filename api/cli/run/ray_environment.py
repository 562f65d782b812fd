"""What Ray's processes are to have in their environment, for the network to run well on them."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from api.cli.run.door.haproxy import haproxy_script
from api.cli.run.door.limits import Limits, open_files
from cluster.settings.sections.server import Server

HAPROXY_VARIABLE = "RAY_SERVE_HAPROXY_BINARY_PATH"

SERVING: Mapping[str, str] = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    # The ingress in the replica's own event loop: one thread handing every event of a stream to another costs more
    # than the rest of its way.
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # Serve's controller looks ten times a second whether anything is to be done, on a core that models want.
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
    "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "5",
    # A proxy's process that takes longer than five seconds to begin would be ended, and the start of all with it.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    # Jobs have been drained by the time the ingress stops, so nothing is worth half a minute's wait.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
    # Ray would give its workers, and so vLLM, the lowest turn at the processor but four.
    "RAY_worker_niceness": "0",
    # When memory runs out, Ray would end what it can start again, the core actors, rather than an engine, which
    # has the memory. The kernel is left to choose, and engines offer themselves to it (decision 25).
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_worker_oom_score_adjustment": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""For every machine, whoever starts its Ray."""


def exports(folder: Path, env: Mapping[str, str], server: Server) -> str:
    """`SERVING` as lines for a shell, but for what `env` has already. HAProxy's script is kept in `folder`."""
    script = haproxy_script(folder / "haproxy", Limits.of(server, open_files()))
    wanted = {**SERVING, HAPROXY_VARIABLE: str(script)}
    missing = {name: value for name, value in wanted.items() if name not in env}
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in missing.items())
