"""The Ray cluster that `infernet up` runs on: one of its own, or one that is given."""

import os
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

import ray

from actors.backends.failures import one_line
from actors.machine import scheduling_class
from actors.ray.remote import NAMESPACE
from api.cli.run import runs
from api.cli.run.error_pages import haproxy_with_pages
from api.cli.run.ports import free_port
from cluster.errors import StartError

# HAProxy's sockets lie under it, in a folder named by Ray's 56 hex digits, and their paths may have 97 characters.
_LONGEST_TEMP = 8


class OwnCluster(AbstractContextManager["OwnCluster"]):
    """A Ray on this machine that lives as long as this object, with HAProxy in front of Serve."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._temp = Path()

    def __enter__(self) -> "OwnCluster":
        scheduling_class.use_batch()  # and so does what Ray starts: its own processes and HAProxy
        self._temp = Path(tempfile.mkdtemp(prefix="infernet-", dir=_short_temp()))
        runs.record(self._state, self._temp)
        (self._temp / "tmp").mkdir()
        os.environ.update(environment(self._temp))
        os.environ["RAY_SERVE_HAPROXY_BINARY_PATH"] = str(haproxy_with_pages(self._temp / "haproxy"))
        try:
            ray.init(
                address="local",
                namespace=NAMESPACE,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
                _temp_dir=str(self._temp / "ray"),
            )
        except Exception as error:
            self._end()
            raise StartError(f"Ray does not start: {one_line(error)}") from error
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        ray.shutdown()
        runs.clear(self._state)


class GivenCluster(AbstractContextManager["GivenCluster"]):
    """A running Ray cluster, joined as a driver and left as it was."""

    def __init__(self, address: str) -> None:
        self._address = address

    def __enter__(self) -> "GivenCluster":
        try:
            ray.init(address=self._address, namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise StartError(f"cannot join the Ray cluster at {self._address}: {error}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ray.shutdown()


def _short_temp() -> str:
    usual = tempfile.gettempdir()
    return usual if len(usual) <= _LONGEST_TEMP else "/tmp"


def haproxy_apart(temp: Path) -> Mapping[str, str]:
    """What keeps the files and ports of Serve's HAProxy, in a run whose files are in `temp`, to that run."""
    return {
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(temp / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(temp / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(temp),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(temp / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(temp / "metrics.sock"),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
        # HAProxy's way out while no ingress is up. By default one port that every system of a machine listens on at
        # once (Serve sets SO_REUSEPORT), each then answering requests of the others.
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port()),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(free_port()),
    }


def environment(temp: Path) -> Mapping[str, str]:
    """What Ray's processes are to inherit of a run whose files are in `temp`. What the user has set stays."""
    wanted = {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        # The ingress in the replica's own event loop: one thread handing every event of a stream to another costs more
        # than the rest of its way.
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        **haproxy_apart(temp),
        # Serve's controller looks ten times a second whether anything is to be done, on a core that models want.
        "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "5",
        # Jobs have been drained by the time the ingress stops, so nothing is worth half a minute's wait.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        # Ray would give its workers, and so vLLM, the lowest turn at the processor but four.
        "RAY_worker_niceness": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        # What Ray notes of every call for a dashboard that does not run here: a twentieth of the control plane's work,
        # and memory of its head, which would remember 100,000 calls.
        "RAY_task_events_report_interval_ms": "0",
        "RAY_event_stats": "0",
        "RAY_enable_metrics_collection": "0",
        # vLLM leaves sockets and folders there.
        "TMPDIR": str(temp / "tmp"),
        # Process titles must not overwrite the environment that the mark is read from.
        "SPT_NOENV": "1",
    }
    return {**wanted, **{name: os.environ[name] for name in wanted if name in os.environ}, runs.MARK: str(temp)}
