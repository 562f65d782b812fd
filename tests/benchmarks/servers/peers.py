"""What `make bench-peers` installs apart from .venv, whose versions it would change or which does not need it."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[3] / "build" / "bench-peers"


@dataclass(frozen=True)
class Peer:
    """A package to compare with. An overlay lies over .venv, by PYTHONPATH; others have their own environment."""

    package: str
    requirement: str
    overlay: bool = False


RAY_SERVE_LLM = "ray-serve-llm"
LITELLM = "litellm"
VLLM_ROUTER = "vllm-router"

PEERS: Mapping[str, Peer] = {
    # What ray.serve.llm imports and this project does not.
    RAY_SERVE_LLM: Peer("pyarrow", "pyarrow>=17", overlay=True),
    # From 1.110 on, the proxy's dependencies are not to be had from PyPI.
    LITELLM: Peer("litellm", "litellm[proxy]>=1.100,<1.110"),
    VLLM_ROUTER: Peer("vllm-router", "vllm-router>=0.1.17,<0.2"),
}


def installed(name: str, file: str) -> Path:
    """The path of `file` of the peer `name`. Raises ChildProcessError, with the reason, when it is not installed."""
    path = FOLDER / name / file
    if not path.exists():
        log = log_of(name)
        reason = log.read_text(errors="replace").strip() if log.exists() else "run `make bench-peers`"
        raise ChildProcessError(f"{name} is not installed: {reason}")
    return path


def versions() -> dict[str, str]:
    """Of the packages that are installed."""
    found = {}
    for name, peer in PEERS.items():
        places = [str(FOLDER / name), *map(str, (FOLDER / name).glob("lib/python*/site-packages"))]
        for distribution in distributions(name=peer.package, path=places):
            found[peer.package] = distribution.version
    return found


def log_of(name: str) -> Path:
    """Where the installer says why it could not install this peer."""
    return FOLDER / f"{name}.log"
