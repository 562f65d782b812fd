"""Machines for tests: each with a network address, a process table, a home, `/tmp` and `/dev/shm` of its own.

They are namespaces of this one, joined by a bridge. Powering one off ends all its processes. All of it goes with the
process that made it, however that ends, but for the bridge and its links, which the next run removes.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.clusters import first_process

PROGRAMS = ("ip", "unshare", "nsenter", "setpriv", "sshd", "ssh", "ssh-keygen", "rsync")
"""What this needs of the machine. `make cluster` installs it on Debian."""

CHECKOUT = Path(__file__).resolve().parents[2]
OUTSIDE = "10.77.0.254"
"""The address by which the machines reach this one."""

_BRIDGE = "ifrbr0"
_LINK = "vifr"
_BRIDGE_ADDRESS = "02:00:0a:4d:00:fe"
_NET = "10.77.0."
_BITS = 24
_UP_S = 20.0
_LOOK_S = 0.05


class Machine:
    """One machine. `number` is the last part of its address."""

    def __init__(self, number: int, folder: Path, key: Path) -> None:
        self.number = number
        self.name = f"ifr{number}"
        self.address = f"{_NET}{number}"
        self._folder = folder / self.name
        self._unshare: subprocess.Popen[bytes] | None = None
        self._furnish(key)

    @property
    def home(self) -> Path:
        """Its home, as seen from here."""
        return self._folder / first_process.HOME[1:]

    @property
    def temp(self) -> Path:
        """Its `/tmp`, as seen from here."""
        return self._folder / first_process.TEMP[1:]

    @property
    def _link(self) -> str:
        return f"{_LINK}{self.number}"

    def power_on(self) -> None:
        """Start it, and wait until its sshd listens."""
        log = (self._folder / "log").open("ab")
        shown = json.dumps([str(CHECKOUT), sys.base_prefix])
        spaces = ("--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child")
        init = (sys._base_executable, first_process.__file__, self.name, self._folder, shown)  # type: ignore[attr-defined]
        with log:
            self._unshare = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "unshare", *spaces, *init],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._connect(self._first_process().pid)
        _wait(lambda: b"Server listening" in (self._folder / "log").read_bytes(), f"{self.name}'s sshd")

    def power_off(self) -> None:
        """End it at once, as when its plug is pulled. What is on its disk stays."""
        if self._unshare is not None:
            self._unshare.kill()
            self._unshare.wait()
            self._unshare = None
            _remove_link(self._link)

    def cut(self) -> None:
        """Have its network swallow everything, as a switch that has died does: nobody is told."""
        _ip("link", "set", self._link, "nomaster")

    def mend(self) -> None:
        _ip("link", "set", self._link, "master", _BRIDGE)

    def call(self, command: str, timeout_s: float = 120.0) -> str:
        """What the command prints, run in a login shell there. Fails when it does."""
        done = subprocess.run(
            [*self._enter("--mount", "--uts", "--pid", "--net", "--ipc"), "bash", "--login", "-c", f"cd; {command}"],
            env={"HOME": first_process.HOME, "PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        assert done.returncode == 0, f"{self.name}: {command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def processes(self) -> list[psutil.Process]:
        """Those that run there, but for its first."""
        return self._first_process().children(recursive=True) if self._unshare else []

    def names(self) -> set[str]:
        """The names of the processes there, but for its first."""
        return set(self._named().values())

    def kill(self, name: str) -> None:
        """`kill -9` the process there that has this name."""
        (process,) = [process for process, its_name in self._named().items() if its_name == name]
        process.kill()

    def kill_command(self, words: str) -> None:
        """`kill -9` the processes there that were started with these words."""
        found = [process for process in self.processes() if words in _command(process)]
        assert found, f"{self.name}: nothing runs as {words}"
        for process in found:
            process.kill()

    def _named(self) -> Mapping[psutil.Process, str]:
        named = {}
        for process in self.processes():
            with suppress(psutil.Error):
                named[process] = process.name()
        return named

    def _furnish(self, key: Path) -> None:
        ssh = self.home / ".ssh"
        ssh.mkdir(mode=0o700, parents=True)
        self.temp.mkdir(mode=0o1777)
        shutil.copy(key.with_suffix(".pub"), ssh / "authorized_keys")
        shutil.copy(key, ssh / "cluster_key")
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.home / "hostkey")
        # As Debian's: what a login shell reads leads to what other shells read.
        (self.home / ".profile").write_text(". ~/.bashrc\n")
        (self.home / ".bashrc").write_text("export PATH=$HOME/.infernet/venv/bin:$PATH\n")

    def _first_process(self) -> psutil.Process:
        assert self._unshare is not None, f"{self.name} is off"
        unshare = psutil.Process(self._unshare.pid)
        _wait(unshare.children, f"{self.name}'s first process")
        return unshare.children()[0]

    def _connect(self, pid: int) -> None:
        _ip("link", "add", self._link, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        _ip("link", "set", self._link, "master", _BRIDGE, "up")
        for command in (
            ("addr", "add", f"{self.address}/{_BITS}", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
            # Ray asks by which address it would reach the world: without a way there it takes 127.0.0.1.
            ("route", "add", "default", "via", OUTSIDE),
        ):
            _run(*self._enter("--net"), "ip", *command)

    def _enter(self, *spaces: str) -> Sequence[str]:
        return ["nsenter", "--target", str(self._first_process().pid), *spaces]


class Machines:
    """All of them, on their bridge. Leaving this ends them, and removes their files and the bridge."""

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="infernet-machines-"))
        self.all: list[Machine] = []
        self._key = self.folder / "key"
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self._key)
        _remove_links()
        # An address of its own: it would take that of one of its links, and another one when that is cut.
        _ip("link", "add", _BRIDGE, "address", _BRIDGE_ADDRESS, "type", "bridge")
        _ip("addr", "add", f"{OUTSIDE}/{_BITS}", "dev", _BRIDGE)
        _ip("link", "set", _BRIDGE, "up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for machine in self.all:
            machine.power_off()
        _remove_links()
        shutil.rmtree(self.folder)

    def add(self, number: int) -> Machine:
        """One more, which is off."""
        machine = Machine(number, self.folder, self._key)
        self.all.append(machine)
        return machine


def missing() -> str | None:
    """Why there can be no machines here, or None."""
    if os.geteuid() != 0:
        return "namespaces of other machines need root"
    lacking = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]
    return f"not installed: {', '.join(lacking)}" if lacking else None


def _remove_links() -> None:
    """The bridge and all that is joined by it, also what a run that was killed has left."""
    for link in (*Path("/sys/class/net").glob(f"{_LINK}*"), Path(_BRIDGE)):
        _remove_link(link.name)


def _remove_link(name: str) -> None:
    """The kernel does it with the last connection of a machine: one to a machine that is off may last for minutes."""
    if Path(f"/sys/class/net/{name}").exists():
        subprocess.run(["ip", "link", "del", name], capture_output=True)  # it may just have gone


def _ip(*arguments: str) -> None:
    _run("ip", *arguments)


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}"


def _command(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(Path(word).name for word in process.cmdline())
    return ""


def _wait(condition: Callable[[], object], what: str) -> None:
    give_up_s = time.monotonic() + _UP_S
    while not condition():
        assert time.monotonic() < give_up_s, f"{what} did not come"
        time.sleep(_LOOK_S)
