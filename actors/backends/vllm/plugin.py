"""A plugin of vLLM's, which it loads in each of its processes (the entry point in pyproject.toml)."""

from actors.backends.vllm import resuming, structured


def install() -> None:
    """Have this process of vLLM go on with answers that were begun elsewhere. It is called perhaps repeatedly.

    That it works is tried when a model loads (`warm_up.py`).
    """
    resuming.install()
    structured.install()
