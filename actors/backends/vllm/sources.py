"""What the source of the vLLM installed here says, without importing it, which takes many seconds."""

import ast
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from cluster.nearest import nearest


def source(file: str) -> Sequence[ast.stmt]:
    """The statements of one of vLLM's files; none where vLLM is not installed."""
    spec = find_spec("vllm")
    if spec is None or spec.origin is None:
        return ()
    return ast.parse((Path(spec.origin).parent / file).read_text("utf-8")).body


def hint(name: str, names: Iterable[str]) -> str:
    """Which of these names may be meant."""
    close = nearest(name, sorted(names))
    return f"; did you mean {close}?" if close else ""
