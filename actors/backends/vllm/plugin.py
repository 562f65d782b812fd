"""A plugin of vLLM's, which it loads in each of its processes (the entry point in pyproject.toml)."""

from actors.backends.vllm import plain_among_adapters, resuming, sparing, structured


def install() -> None:
    """Have this process of vLLM go on with answers that were begun elsewhere. It is called perhaps repeatedly.

    It keeps adapters from requests that have none, too, and calls of tools short. That answers go on is tried when a
    model loads (`warm_up.py`).
    """
    resuming.install()
    structured.install()
    sparing.install()
    plain_among_adapters.install()
