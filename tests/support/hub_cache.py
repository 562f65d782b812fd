"""A model in a cache of the hub's, as the hub's library writes it; and the headers of files of weights."""

import json
import struct
from pathlib import Path

COMMIT = "0123456789" * 4
BYTES = b"12345"


def snapshot(cache: Path, *files: str, repo: str = "org/name", revision: str = "main") -> Path:
    """Add these files to the model. They are links to what they hold, and a revision is a file with a commit."""
    folder = cache / f"models--{repo.replace('/', '--')}"
    of_commit = folder / "snapshots" / COMMIT
    for part in (of_commit, folder / "refs", folder / "blobs"):
        part.mkdir(parents=True, exist_ok=True)
    (folder / "refs" / revision).write_text(COMMIT)
    for name in files:
        (folder / "blobs" / f"blob-of-{name}").write_bytes(BYTES)
        (of_commit / name).symlink_to(f"../../blobs/blob-of-{name}")
    return of_commit


def write_header(path: Path, dtype: str, *shapes: list[int]) -> None:
    """A safetensors file whose header is true; of its numbers there is none."""
    header = {f"layer {number}": {"dtype": dtype, "shape": shape} for number, shape in enumerate(shapes)}
    written = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    path.write_bytes(struct.pack("<Q", len(written)) + written)
