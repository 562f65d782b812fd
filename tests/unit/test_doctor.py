"""`infernet doctor` on set-ups that are broken for real, and what docs/doctor.md shows of them."""

import json
import os
import platform
import re
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pynvml
import pytest

from api.cli.connection import Connection, write
from api.cli.doctor import cluster, gpus, memory, room, software
from api.cli.doctor.command import _AREAS as AREAS
from api.cli.doctor.examination import AREAS as LOOKS
from api.cli.run import runs
from cluster.store.database import Database
from tests.support.contract_server import JOB, KEY, ContractServer, Stage
from tests.support.typed import Ended, Typed

DOCS = Path(__file__).parents[2] / "docs" / "doctor.md"
INFERNET = Path(sys.executable).with_name("infernet")


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the environment in which the tests run."""
    for name in list(os.environ):
        if name.startswith("INFERNET_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


class Doctor:
    """Looks at one area of a set-up with a state folder of its own."""

    def __init__(self, typed: Typed, state: Path) -> None:
        self._typed = typed
        self.state = state

    def __call__(self, area: str, *args: str | Path) -> Ended:
        return self._typed("doctor", "--only", area, "--state", str(self.state), *map(str, args))


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Doctor:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    return Doctor(Typed(monkeypatch, capsys), state)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def findings(printed: str) -> list[str]:
    """The lines of what is not well, each with its cure, without what differs from machine to machine."""
    lines = printed.splitlines()
    return [_general(line) for line in lines if line.startswith(("fault", "warning", " "))]


def documented() -> set[str]:
    return {_general(line) for line in DOCS.read_text().splitlines()}


def _general(line: str) -> str:
    line = re.sub(r"sqlite:///[\w./-]+", "sqlite:///PATH", line)
    line = re.sub(r"(?<![\w.:/-])/[\w./-]+", "PATH", line)
    line = re.sub(r"the door: .*", "the door: SOCKETS", line)
    line = re.sub(r"there listens .* \(process", "there listens PROGRAM (process", line)
    return re.sub(r"\d[\d.,:]*", "N", line).rstrip()


def is_told(ended: Ended, status: str, *words: str) -> None:
    """It is told, in so many words, what is wrong and what to do, and docs/doctor.md shows just that."""
    assert ended.code == (1 if status == "fault" else 0), ended
    assert ended.err == ""
    told = findings(ended.out)
    assert len(told) == 2, ended.out
    assert told[0].startswith(status)
    assert told[1].lstrip().startswith("-> ")
    for word in words:
        assert word in ended.out
    missing = [line for line in told if line not in documented()]
    assert not missing, f"docs/doctor.md does not show:\n{ended.out}"


def test_the_areas_that_are_offered_are_those_that_are_looked_at() -> None:
    assert (*LOOKS, "job") == AREAS


def test_a_port_that_is_taken(doctor: Doctor, taken: int) -> None:
    ended = doctor("ports", "--port", str(taken))
    is_told(ended, "fault", f"127.0.0.1:{taken}", f"(process {os.getpid()})", f"--port {taken + 1}")


def test_an_address_of_another_machine(doctor: Doctor) -> None:
    is_told(doctor("ports", "--host", "192.0.2.1"), "fault", "it is no address of this machine")


def test_a_disk_that_is_full(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    def usage(path: Path) -> SimpleNamespace:
        free = 12 << 20 if Path(path) == doctor.state else 100 << 30
        return SimpleNamespace(total=100 << 30, used=(100 << 30) - free, free=free)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    monkeypatch.setattr(room, "_FULL", 2.0)
    is_told(doctor("disk"), "fault", "12 MiB are free, and 32 MiB are needed to begin")


def test_a_disk_without_room_for_another_file(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = os.statvfs

    def statvfs(path: Path) -> SimpleNamespace:
        fields = {name: getattr(disk(path), name) for name in ("f_bavail", "f_blocks", "f_bfree", "f_frsize")}
        return SimpleNamespace(**fields, f_files=10, f_favail=0 if Path(path) == doctor.state else 5)

    monkeypatch.setattr(os, "statvfs", statvfs)
    is_told(doctor("disk"), "fault", "no more files fit (inodes)")


def test_a_database_that_cannot_be_reached(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERNET_DATABASE", "postgresql://infernet:topsecret@127.0.0.1:1/infernet")
    ended = doctor("database")
    is_told(ended, "fault", "Connection refused")
    assert "topsecret" not in ended.out


def test_a_database_of_another_system(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'other.db'}"
    monkeypatch.setenv("INFERNET_DATABASE", url)
    other = Database(url)
    try:
        is_told(doctor("database"), "fault", "is used by another system")
    finally:
        other.close()
    assert doctor("database").code == 0


def test_a_database_that_is_none(doctor: Doctor) -> None:
    (doctor.state / "infernet.db").write_bytes(b"no database at all, but long enough to be looked at " * 100)
    is_told(doctor("database"), "fault", "file is not a database")


def test_a_clock_that_is_behind(doctor: Doctor) -> None:
    database = doctor.state / "infernet.db"
    database.touch()
    os.utime(database, (0, time.time() + 3 * 86_400))
    is_told(doctor("clock"), "fault", f"{database} was written at")


@pytest.mark.parametrize(
    ("name", "no_proxy", "caught"),
    [
        ("HTTP_PROXY", None, True),
        ("http_proxy", "example.org", True),
        ("HTTPS_PROXY", "localhost", True),
        ("ALL_PROXY", "localhost,127.0.0.1", True),
        ("HTTP_PROXY", "localhost,127.0.0.1,::1", False),
        ("HTTP_PROXY", "*", False),
    ],
)
def test_a_proxy_that_catches_loopback(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, name: str, no_proxy: str | None, caught: bool
) -> None:
    monkeypatch.setenv(name, "http://user:topsecret@proxy.example:3128")
    if no_proxy is not None:
        monkeypatch.setenv("NO_PROXY", no_proxy)
    ended = doctor("proxies")
    assert ended.code == 0
    assert ("warning" in ended.out) == caught, ended.out
    assert "topsecret" not in ended.out
    if name == "HTTP_PROXY" and caught:
        is_told(ended, "warning", "127.0.0.1", "export NO_PROXY=")


def test_a_proxy_that_no_client_can_use(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "ftp://user:topsecret@proxy")
    ended = doctor("proxies")
    is_told(ended, "fault", "cannot be used")
    assert "topsecret" not in ended.out


def fake(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, text: str) -> None:
    """Another package of this name comes before the installed one."""
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_a_vllm_that_cannot_be_loaded(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake(monkeypatch, tmp_path, "vllm", "raise ImportError('libcudart.so.12: cannot open shared object file')")
    is_told(doctor("vllm"), "fault", "ImportError: libcudart.so.12")


def test_a_vllm_whose_process_dies(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake(monkeypatch, tmp_path, "vllm", "import os; os.kill(os.getpid(), 4)")
    is_told(doctor("vllm"), "fault", "SIGILL: this processor lacks")


def test_a_vllm_that_can_use_no_gpu(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake(monkeypatch, tmp_path, "vllm", "LLM = None; __version__ = '0.29.0'")
    torch = "from types import SimpleNamespace as A\n__version__ = '2.13.0'\ncuda = A(is_available=lambda: False)\n"
    (tmp_path / "torch.py").write_text(torch)
    monkeypatch.setattr(software, "version", lambda name: {"vllm": "0.29.0"}.get(name) or not_installed(name))
    is_told(doctor("vllm"), "fault", "vllm 0.29.0 is for GPUs, and torch 2.13.0 cannot use any")


def test_no_vllm_at_all(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(software, "version", not_installed)
    is_told(doctor("vllm"), "fault", "it is not installed")
    config = tmp_path / "infernet.yaml"
    config.write_text("models: [{id: a, backend: simulated}]\n")
    assert findings(doctor("vllm", "--config", config).out) == []


def not_installed(name: str) -> str:
    raise PackageNotFoundError(name)


def test_a_ray_of_another_version(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake(monkeypatch, tmp_path, "ray", "__version__ = '2.9.0'")
    is_told(doctor("ray"), "fault", "2.9.0 is loaded", "see to PYTHONPATH")


def test_a_ray_that_is_another_than_the_installed_one(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake(monkeypatch, tmp_path, "ray", "__version__ = '2.60.7'")
    is_told(doctor("ray"), "fault", "2.60.7 is loaded", "another Ray comes before the installed one")


def test_gpus_that_are_wanted_and_not_there(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpus, "_LIBRARY", "libnvidia-ml-of-nobody.so.1")
    config = tmp_path / "infernet.yaml"
    config.write_text("models: [{id: large, source: 'builtin:capitals', gpus: 8}]")
    is_told(doctor("gpus", "--config", config), "fault", "model large wants 8 GPUs", "there is no NVIDIA driver")


def nvml(monkeypatch: pytest.MonkeyPatch, *used_gib: int) -> None:
    """A driver with GPUs of 80 GiB, of which so many are in use."""
    monkeypatch.setattr(gpus.ctypes, "CDLL", lambda name: name)
    for name, answer in {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: len(used_gib),
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetName": lambda handle: "NVIDIA H100 80GB HBM3",
        "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(total=80 << 30, used=used_gib[handle] << 30),
        "nvmlSystemGetDriverVersion": lambda: "570.86.15",
    }.items():
        monkeypatch.setattr(pynvml, name, answer)


def test_a_gpu_that_somebody_uses(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml(monkeypatch, 0, 40)
    monkeypatch.setattr(gpus, "version", lambda name: "0.29.0")
    ended = doctor("gpus")
    is_told(ended, "warning", "GPU 1: NVIDIA H100 80GB HBM3, 80 GiB, of which 40.0 are in use")
    assert "driver 570.86.15: 2 GPUs" in ended.out


def test_gpus_that_nobody_can_use(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM for the CPU is what is installed here."""
    nvml(monkeypatch, 0)
    is_told(doctor("gpus"), "warning", "vLLM is installed for the CPU, which leaves them idle")


def test_fewer_gpus_than_a_model_wants(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nvml(monkeypatch, 0)
    monkeypatch.setattr(gpus, "version", lambda name: "0.29.0")
    config = tmp_path / "infernet.yaml"
    config.write_text("models: [{id: large, source: 'builtin:capitals', gpus: 8}]")
    is_told(doctor("gpus", "--config", config), "fault", "model large wants 8 GPUs, and the machine has 1")


def test_memory_that_is_used_up(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = SimpleNamespace(available=700 << 20, total=16 << 30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: machine)
    is_told(doctor("memory"), "fault", "0.7 of 16.0 GiB are free")


def test_a_container_with_less_than_its_machine(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    limit, used = tmp_path / "memory.max", tmp_path / "memory.current"
    limit.write_text(f"{4 << 30}\n")
    used.write_text(f"{2 << 30}\n")
    monkeypatch.setattr(memory, "_GROUP_LIMITS", (limit,))
    monkeypatch.setattr(memory, "_GROUP_USES", (used,))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=9 << 30, total=16 << 30))
    is_told(doctor("memory"), "warning", "2.0 of 4.0 GiB are free")


def test_too_few_open_files(doctor: Doctor) -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))

    command = [INFERNET, "doctor", "--only", "limits", "--state", doctor.state]
    done = subprocess.run(command, preexec_fn=few, capture_output=True, text=True, check=False)
    is_told(Ended(done.returncode, done.stdout, done.stderr), "fault", "1,024 open files: 12 connections at once")


def test_settings_with_mistakes(doctor: Doctor, tmp_path: Path) -> None:
    config = tmp_path / "infernet.yaml"
    config.write_text("server: {prot: 80}\nmodels: [{id: a, backend: simulated}]\n")
    is_told(doctor("settings", "--config", config), "fault", "infernet.yaml:1:10: server.prot", "did you mean port?")
    # What they would have said of other things is not known.
    assert findings(doctor("ports", "--config", config).out) == []


def test_a_state_folder_that_is_a_file(doctor: Doctor) -> None:
    doctor.state = doctor.state / "file"
    doctor.state.touch()
    is_told(doctor("state"), "fault", "is no folder")


def test_a_connection_that_cannot_be_read(doctor: Doctor) -> None:
    (doctor.state / "connection.json").write_text(f'{{"key": "{KEY}"')
    (doctor.state / "connection.json").chmod(0o600)
    ended = doctor("state")
    is_told(ended, "fault", "does not hold a url and a key")
    assert KEY not in ended.out


def test_a_database_that_others_can_read(doctor: Doctor) -> None:
    doctor.state.chmod(0o755)
    database = doctor.state / "infernet.db"
    database.touch()
    database.chmod(0o644)
    is_told(doctor("state"), "warning", f"chmod 600 {database}")


def test_what_a_killed_run_left_behind(doctor: Doctor, tmp_path: Path) -> None:
    runs.record(doctor.state, tmp_path / "run", tmp_path / "logs")
    left = subprocess.Popen(
        [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"],
        env={**os.environ, runs.MARK: str(tmp_path / "run")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert left.stdout is not None
        left.stdout.readline()  # it has its environment by now
        ended = doctor("leftovers")
        told = [line for line in ended.out.splitlines() if line.startswith("warning") and "state folder" in line]
        assert [line.partition("left behind: ")[2] for line in told] == [
            f"{psutil.Process(left.pid).name()} ({left.pid})"
        ]
        assert f"{told[0].partition('left behind: ')[0]}left behind" in DOCS.read_text()
        assert ended.code == 0
    finally:
        left.communicate()


LISTEN = """
import socket, sys
family, address = (socket.AF_INET6, sys.argv[1]) if ":" in sys.argv[1] else (socket.AF_INET, sys.argv[1])
with socket.create_server((address, 0), family=family):
    print(flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("address", "open_to_others"), [("127.0.0.1", False), ("::ffff:127.0.0.1", False), ("0.0.0.0", True), ("::", True)]
)
def test_what_a_running_system_opens_to_others(
    doctor: Doctor, tmp_path: Path, address: str, open_to_others: bool
) -> None:
    """As Ray's processes do on a given cluster; those of IPv4 are told as `::ffff:127.0.0.1`."""
    with runs.claimed(doctor.state):
        runs.record(doctor.state, tmp_path / "run", tmp_path / "logs")
        process = subprocess.Popen(
            [sys.executable, "-c", LISTEN, address],
            env={**os.environ, runs.MARK: str(tmp_path / "run")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            process.stdout.readline()  # it listens by now
            ended = doctor("ports", "--port", "1")
        finally:
            process.communicate()
    if open_to_others:
        is_told(ended, "warning", f"others can reach more than the door: {address}:")
    else:
        assert findings(ended.out) == []


# The system that runs ---------------------------------------------------------------------------------------------

DONE = {"id": JOB, "status": "completed", "model": "sim", "result": {"usage": {"completion_tokens": 8}}}


@pytest.fixture(scope="module")
def server() -> Iterator[ContractServer]:
    with ContractServer() as running:
        yield running


@pytest.fixture
def stage(server: ContractServer, monkeypatch: pytest.MonkeyPatch) -> Stage:
    server.stage = Stage(catalogue=[{"id": "sim", "state": "ready"}], job=DONE)
    monkeypatch.setenv("INFERNET_URL", server.url)
    monkeypatch.setenv("INFERNET_KEY", KEY)
    return server.stage


def test_a_tiny_job_is_done_where_a_system_runs(doctor: Doctor, stage: Stage) -> None:
    code, out, _ = doctor("job")
    assert (code, findings(out)) == (0, [])
    assert [body["model"] for body in stage.submitted] == ["sim"]
    assert f"{JOB} of model sim was completed" in out


def test_a_model_that_takes_no_text_is_passed_over(doctor: Doctor, stage: Stage) -> None:
    stage.catalogue = [{"id": "none", "state": "ready"}, {"id": "sim", "state": "ready"}]
    code, out, _ = doctor("job")
    assert code == 0
    assert "was completed" in out


def test_a_job_that_fails(doctor: Doctor, stage: Stage) -> None:
    stage.job = {"id": JOB, "status": "failed", "model": "sim", "error": "engine_error", "error_message": "It broke"}
    is_told(doctor("job"), "fault", "failed: It broke (engine_error)", f"infernet explain {JOB}")


def test_a_job_that_does_not_end(doctor: Doctor, stage: Stage) -> None:
    stage.job = {"id": JOB, "status": "pending", "model": "sim"}
    is_told(doctor("job"), "fault", "has not ended within 60 s")


def test_a_system_that_is_not_ready(doctor: Doctor, stage: Stage) -> None:
    stage.ready = False
    is_told(doctor("job"), "fault", "answers, and is not ready")


def test_a_key_of_another_system(doctor: Doctor, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERNET_KEY", "inft_wrong")
    ended = doctor("job")
    is_told(ended, "fault", "Invalid or expired bearer token")
    assert "inft_wrong" not in ended.out


def test_a_server_that_does_not_answer(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERNET_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("INFERNET_KEY", KEY)
    is_told(doctor("job"), "fault", "Connection refused")


def test_a_model_that_failed_is_told_beside_the_job(doctor: Doctor, stage: Stage) -> None:
    stage.catalogue.append({"id": "big", "state": "failed", "state_message": "No room"})
    ended = doctor("job")
    is_told(ended, "fault", "model big failed: No room")
    assert "was completed" in ended.out


def test_without_a_system_no_job_is_tried(doctor: Doctor) -> None:
    write(doctor.state, Connection("http://127.0.0.1:1", KEY))
    code, out, _ = doctor("job")
    assert (code, findings(out)) == (0, [])
    assert "--start" in out


def test_a_system_of_its_own_that_does_not_start(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake(monkeypatch, tmp_path, "ray", "raise ImportError('libsomething.so: cannot open shared object file')")
    ended = doctor("ports", "--port", "1", "--start")
    lines = [line for line in ended.out.splitlines() if "trial" in line or "->" in line]
    assert (ended.code, len(lines)) == (1, 2), ended
    assert "it did not start: ImportError: libsomething.so: cannot open shared object file" in lines[0]
    assert {_general(line) for line in lines} <= documented()


def test_as_json_it_is_findings(doctor: Doctor, taken: int) -> None:
    code, out, _ = doctor("ports", "--port", str(taken), "--json")
    told = json.loads(out)
    assert (code, told["healthy"]) == (1, False)
    assert [sorted(finding) for finding in told["findings"]] == [["area", "cure", "said", "status"]]


def test_an_area_that_there_is_not(doctor: Doctor) -> None:
    code, _, err = doctor("port")
    assert (code, err.count("\n")) == (2, 1)
    assert "is none of" in err


WELL_CLUSTER: dict[str, Any] = {
    "address": "10.0.0.5:6379",
    "ray": "2.60.0",
    "own_ray": "2.60.0",
    "python": platform.python_version(),
    "machines": 4,
    "gone": 1,
    "is_here": True,
    "most_gpus": 4.0,
    "total": {"CPU": 64.0, "GPU": 16.0, "memory": 1e12},
    "free": {"CPU": 12.0, "GPU": 8.0, "memory": 1e12},
}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the cluster says of itself."""
    told = dict(WELL_CLUSTER)
    monkeypatch.setattr(cluster, "asked", lambda address: told)
    return told


def test_a_cluster_that_can_be_joined(doctor: Doctor, told: dict[str, Any]) -> None:
    ended = doctor("cluster", "--ray-address", "10.0.0.5:6379")
    assert (ended.code, ended.err) == (0, "")
    lines = [line for line in ended.out.splitlines() if line.startswith("ok")]
    assert [_general(line) in documented() for line in lines] == [True, True], ended.out


@pytest.mark.parametrize(
    ("otherwise", "status", "said"),
    [
        ({"ray": "2.9.0"}, "fault", "runs Ray 2.9.0, and this is 2.60.0"),
        ({"python": "3.9.1"}, "fault", "runs Python 3.9.1, and this is"),
        ({"is_here": False}, "fault", "this machine is none of them"),
        ({"machines": 1, "total": {}, "free": {}}, "fault", "no CPU to run on"),
        ({"problem": "it asks for a token, and not for the one that there is here", "kind": "token"}, "fault", "token"),
    ],
)
def test_a_cluster_that_cannot(
    doctor: Doctor, told: dict[str, Any], otherwise: dict[str, Any], status: str, said: str
) -> None:
    told.update(otherwise)
    is_told(doctor("cluster", "--ray-address", "10.0.0.5:6379"), status, said)


def test_a_model_that_no_machine_of_the_cluster_has_room_for(
    doctor: Doctor, told: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "big.yaml"
    file.write_text("models: [{id: large, source: org/large, gpus: 8}]")
    args = ("--ray-address", "10.0.0.5:6379", "--config", file)
    is_told(doctor("cluster", *args), "warning", "model large wants 8 GPUs of a machine, and none has more than 4")
    monkeypatch.setattr(gpus, "_LIBRARY", "libnothing.so")
    here = doctor("gpus", *args)
    assert here.code == 0, here.out
    assert "those of the cluster count" in here.out


def test_a_cluster_where_nobody_listens(doctor: Doctor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    is_told(doctor("cluster", "--ray-address", f"127.0.0.1:{port}"), "fault", "Connection refused")


def test_a_cluster_that_is_no_ray(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_WAIT_S", 3.0)
    with socket.create_server(("", 0)) as listening:
        ended = doctor("cluster", "--ray-address", f"127.0.0.1:{listening.getsockname()[1]}")
    is_told(ended, "fault", "that takes longer than 3 s")


def test_a_cluster_of_no_address(doctor: Doctor) -> None:
    is_told(doctor("cluster", "--ray-address", "nonsense"), "fault", "Invalid address format")


def test_no_cluster_is_looked_at_where_none_is_named(doctor: Doctor) -> None:
    ended = doctor("cluster")
    assert ended.code == 2
    assert "--ray-address" in ended.err
