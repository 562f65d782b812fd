"""Models that ship with the project, addressed as ``builtin:NAME`` wherever a model source is expected."""

from pathlib import Path

_PREFIX = "builtin:"
_FOLDERS = {"capitals": Path(__file__).resolve().parent / "capitals" / "weights"}


def resolve_source(source: str) -> str:
    """Return the absolute folder of a built-in model, and any other source unchanged.

    Raises ValueError, listing the known names, when ``builtin:NAME`` names no shipped model.
    """
    if not source.startswith(_PREFIX):
        return source
    name = source.removeprefix(_PREFIX)
    if name not in _FOLDERS:
        known = ", ".join(sorted(_FOLDERS))
        raise ValueError(f"unknown built-in model {name!r}; known names: {known}")
    return str(_FOLDERS[name])
