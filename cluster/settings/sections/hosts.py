"""Hosts of others, as settings name them."""

from cluster.settings.checks import Value, word


def host(value: Value) -> str:
    named = word(value).lower()
    if "/" in named or "*" in named:
        raise value.is_not("a host's name, or name:port")
    return named
