"""Models that ship with the project, and an adapter: ``builtin:NAME`` wherever a source is expected."""

from actors.backends.builtin import capitals, capitals_embeddings, capitals_german
from cluster.catalogue import BUILTIN_PREFIX

_FOLDERS = {
    "capitals": capitals.WEIGHTS,
    "capitals-embeddings": capitals_embeddings.WEIGHTS,
    "capitals-german": capitals_german.WEIGHTS,
}

NAMES = tuple(_FOLDERS)


def resolve_source(source: str) -> str:
    """Return the absolute folder of a built-in model or adapter, and any other source unchanged.

    Raises ValueError, listing the known names, when ``builtin:NAME`` names no shipped model.
    """
    if not source.startswith(BUILTIN_PREFIX):
        return source
    name = source.removeprefix(BUILTIN_PREFIX)
    if name not in _FOLDERS:
        known = ", ".join(sorted(_FOLDERS))
        raise ValueError(f"unknown built-in model {name!r}; known names: {known}")
    return str(_FOLDERS[name])
