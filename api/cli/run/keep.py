"""What `infernet keep` does: on the head machine of a Ray cluster, start again what ends there and would not by itself.

That is `infernet up`, which joins the cluster and watches over what it started there, and Ray's gcs_server. This
process imports no Ray: it is small, and whatever becomes of a Ray cannot make it wait.
"""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from actors.machine import private_files
from api.cli import exits
from api.cli.run import guard, own_environment, places
from api.cli.run.ray_head import RayHead
from api.cli.run.upkeep import Seen, Step, Upkeep
from cluster.errors import StartError

INFERNET = Path(sys.executable).with_name("infernet")
LOG = "keep.log"

LOCK = "keep.lock"
"""In the state folder: who keeps, by its process id."""

_LOOK_S = 0.5
# Whoever kept a Ray that has just been stopped leaves within this time; the network's own ending is a part of it.
_CLAIM_S = guard.STOP_S + 10.0
_NOT_DURABLE = (
    "this cluster's gcs_server keeps what it knows in memory: it cannot be started again when it ends, and the cluster "
    "ends with it (start Ray's head with RAY_gcs_storage=rocksdb and RAY_gcs_storage_path)"
)


def keep(config_file: Path | None, ray_address: str, folder: Path, background: bool) -> int:
    """Keep the network running until a signal, or the end of Ray on this machine. Gives the exit code.

    In the background, return 0 as soon as that has begun; what is told then goes to `LOG` in the state folder.
    Raises StartError where this machine is no head, or another one keeps it.
    """
    own_environment.hide()
    if code := _checked(config_file, folder):
        return code
    head = RayHead(ray_address)
    places.require_state(folder)
    if background and not _become_daemon(folder / LOG):
        return 0
    with _alone(folder):
        return Keeper(head, _command(config_file, head.address, folder)).run()


class Keeper:
    """Looks at Ray's head and at the network twice a second, and starts what `Upkeep` says."""

    def __init__(self, head: RayHead, command: Sequence[str | Path]) -> None:
        self._head = head
        self._command = command
        self._upkeep = Upkeep(head.durable, time.monotonic())
        self._stop = threading.Event()

    def run(self) -> int:
        """Returns once it has nothing to keep: 0 when it was asked to stop. SIGHUP has the settings read again."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._stop.set())
        self._system = self._started()
        signal.signal(signal.SIGHUP, lambda *_: self._reread())
        if not self._head.durable:
            exits.say(_NOT_DURABLE)
        while not self._stop.wait(_LOOK_S):
            for step in self._upkeep.look(self._seen(), time.monotonic()):
                match step:
                    case Step.START_GCS:
                        exits.say("Ray's gcs_server has ended: it is started again")
                        self._head.start_gcs()
                    case Step.START_SYSTEM:
                        exits.say("`infernet up` has ended: it is started again")
                        self._system = self._started()
                    case Step.LEAVE:
                        return self._left()
        return self._left()

    def _seen(self) -> Seen:
        return Seen(self._head.raylet_runs(), self._head.gcs_runs(), self._system.poll())

    def _started(self) -> subprocess.Popen[bytes]:
        # A session of its own: a signal for this process's group is passed on once, by this process.
        return subprocess.Popen(self._command, stdin=subprocess.DEVNULL, start_new_session=True)

    def _reread(self) -> None:
        """The next `infernet up` replaces what is made of other settings. Asked to stop, this one would stop it all."""
        exits.say("the settings are read again")
        self._system.kill()

    def _left(self) -> int:
        """The network ends by itself where Ray has; else it is asked to. Its own guard sees to it that it does."""
        lost = not self._head.raylet_runs()
        if lost:
            exits.say("Ray has ended on this machine: nothing is kept here any more")
        if self._system.poll() is None:
            self._system.terminate()
        self._system.wait()
        return exits.FAILED if lost and not self._stop.is_set() else 0


def _checked(config_file: Path | None, folder: Path) -> int:
    """0, or the exit code of whoever read the settings and has told what is wrong with them.

    In a process of its own: what checks the options of engines is large.
    """
    if config_file is None:
        return 0
    child = os.fork()
    if child == 0:
        os._exit(exits.code_of(lambda: _read(config_file, folder)))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _read(config_file: Path, folder: Path) -> None:
    from api.cli.settings import read_settings

    read_settings(config_file, {}, os.environ, folder, here=False)


def _command(config_file: Path | None, address: str, folder: Path) -> Sequence[str | Path]:
    settings: Sequence[str | Path] = ["--config", config_file.resolve()] if config_file else []
    return [INFERNET, "up", "--ray-address", address, "--state", folder.resolve(), *settings]


def _become_daemon(log: Path) -> bool:
    """Whether this is the process that goes on: in a session of its own, so that no terminal's end is its end."""
    sys.stdout.flush()
    sys.stderr.flush()
    if os.fork():
        return False
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDONLY)
    # A key that is shown once is shown there.
    told = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for here, there in ((nowhere, 0), (told, 1), (told, 2)):
        os.dup2(here, there)
    os.close(nowhere)
    os.close(told)
    return True


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One keeper at a time. Raises StartError when another one does not end.

    One that kept a Ray before, which was stopped a moment ago, is just ending.
    """
    with private_files.opened(folder / LOCK, "a") as lock:
        give_up_s = time.monotonic() + _CLAIM_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up_s:
                    raise StartError(f"another `infernet keep` uses the state folder {folder}") from None
                time.sleep(_LOOK_S)
        lock.truncate(0)
        print(os.getpid(), file=lock, flush=True)
        yield
