"""The Ray cluster that `infernet up` runs on: one of its own, or one that is given."""

import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol

import ray

from actors.backends.failures import one_line
from actors.machine import private_files, scheduling_class
from actors.ray.remote import NAMESPACE
from api.cli.run import places, runs
from api.cli.run.door.haproxy import haproxy_script
from api.cli.run.door.limits import Limits
from api.cli.run.ports import free_port
from api.cli.run.ray_environment import HAPROXY_VARIABLE, SERVING
from api.cli.run.ray_start import ON_THIS_MACHINE, on_this_machine_only, patience
from cluster.errors import StartError, SystemLost

START_S = 150.0
_TOKEN = "token"
# What stands in the way of one start, such as an agent that took too long, may not stand in the way of the next: the
# files that it reads are in memory by then.
ATTEMPTS = 4


class Cluster(Protocol):
    """A Ray cluster that this process is connected to while it is entered."""

    own: bool
    """Whether it is there for this system alone."""

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class OwnCluster:
    """A Ray on this machine, with HAProxy in front of Serve. To be used in what `guard` runs.

    `guard` ends it, by the mark of the run that is recorded in the state folder.
    """

    own = True

    def __init__(self, state: Path, logs: Path, limits: Limits) -> None:
        self._state = state
        self._logs = logs
        self._limits = limits
        # Ray's own would be in a file of the user's home, for all to read who can look there, and for all clusters.
        self._token = secrets.token_hex(32)

    def __enter__(self) -> "OwnCluster":
        scheduling_class.use_batch()  # and so does what Ray starts: its own processes and HAProxy
        places.require_shared_memory()
        given = dict(os.environ)
        for attempt in range(1, ATTEMPTS + 1):
            temp = places.temporary()
            try:
                self._start(temp)
                return self
            except Exception as error:
                ray.shutdown()
                runs.clear(self._state)
                os.environ.clear()
                os.environ.update(given)
                if attempt == ATTEMPTS:
                    raise StartError(f"Ray does not start, tried {ATTEMPTS} times: {one_line(error)}") from error
        raise AssertionError("unreachable")

    def _start(self, folder: Path) -> None:
        temp = Path(tempfile.mkdtemp(prefix="infernet-", dir=folder))
        runs.record(self._state, temp, self._logs)
        (temp / "tmp").mkdir()
        with private_files.opened(temp / _TOKEN, "w") as file:
            file.write(self._token)
        os.environ.update(environment(temp))
        # Not in a folder for temporary files, which may be one whose programs nobody can run.
        os.environ[HAPROXY_VARIABLE] = str(haproxy_script(self._state / "haproxy", self._limits))
        with patience(START_S), on_this_machine_only():
            ray.init(
                address="local",
                namespace=NAMESPACE,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
                _temp_dir=str(temp / "ray"),
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # `guard` ends its processes by their mark, without Ray's help: that may be what hangs.
        return


class GivenCluster:
    """A running Ray cluster, joined as a driver and left as it was."""

    own = False

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
        if kind is None or not issubclass(kind, SystemLost):
            ray.shutdown()


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
    ours_alone = {
        # Ray asks whoever comes for a token, by itself: this one.
        "RAY_AUTH_TOKEN_PATH": str(temp / _TOKEN),
        # Nothing of it can be reached from another machine.
        **ON_THIS_MACHINE,
    }
    return {**ours_alone, **_set_by_user(ours_alone), **apart(temp)}


def apart(temp: Path) -> Mapping[str, str]:
    """The same of any Ray whose files are in `temp`, be it a cluster's: it meets no other one of this machine."""
    wanted = {
        **SERVING,
        **haproxy_apart(temp),
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
    return {**wanted, **_set_by_user(wanted), runs.MARK: str(temp)}


def _set_by_user(wanted: Mapping[str, str]) -> Mapping[str, str]:
    return {name: os.environ[name] for name in wanted if name in os.environ}
