"""Installs what the comparison compares with: python -m tests.benchmarks.install_peers

One that cannot be installed is reported, here and in the result; the others are compared without it.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.servers import peers
from tests.benchmarks.servers.peers import Peer


def main() -> None:
    peers.FOLDER.mkdir(parents=True, exist_ok=True)
    for name, peer in peers.PEERS.items():
        print(f"Installing {peer.requirement} ...", flush=True)
        try:
            install(name, peer)
        except subprocess.CalledProcessError as error:
            shutil.rmtree(peers.FOLDER / name, ignore_errors=True)
            peers.log_of(name).write_text(error.stderr)
            print(f"could not install {name}: {error.stderr.strip()}", file=sys.stderr)


def install(name: str, peer: Peer) -> None:
    """Raises subprocess.CalledProcessError when it cannot be had."""
    folder = peers.FOLDER / name
    peers.log_of(name).unlink(missing_ok=True)
    if peer.overlay:
        # Without dependencies: .venv has them, and an overlay would hide its versions.
        _uv("pip", "install", "--python", sys.executable, "--no-deps", "--target", str(folder), peer.requirement)
    else:
        _uv("venv", "--allow-existing", "--python", sys.executable, str(folder))
        _uv("pip", "install", "--python", str(folder / "bin" / "python"), peer.requirement)


def _uv(*arguments: str) -> None:
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "--quiet", *arguments], check=True, stderr=subprocess.PIPE, text=True)


if __name__ == "__main__":
    main()
