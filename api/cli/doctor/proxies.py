"""Proxies that the environment names, and what they would catch that is meant for this machine."""

from collections.abc import Iterator, Mapping
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # public, and undocumented

from api.cli.doctor.findings import Finding, fault, ok, warning
from api.cli.doctor.subject import Subject
from api.cli.proxies import http_client
from cluster.errors import ConfigError

_AREA = "proxies"
_KINDS = ("http", "https", "all")
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_BYPASS = "localhost,127.0.0.1,::1"
# Of no machine, for whether a client can be made at all.
_ELSEWHERE = "http://192.0.2.1"


def look(subject: Subject) -> Iterator[Finding]:
    given = _given(subject.env)
    if not given:
        yield ok(_AREA, "none in the environment")
        return
    names = ", ".join(sorted(given))
    try:
        http_client(_ELSEWHERE).close()
    except ConfigError as error:
        yield fault(_AREA, f"{names}: {error}", "mend the variable, or unset it")
        return
    caught = [host for host in _LOOPBACK if not _bypasses(subject.env, host)]
    if caught:
        said = (
            f"{names}: curl, SDKs and browsers here would ask the proxy for {', '.join(caught)}, and not this machine"
        )
        yield warning(_AREA, said, f"export NO_PROXY={_BYPASS} no_proxy={_BYPASS}")
    else:
        yield ok(_AREA, f"{names}, not for this machine itself")


def _given(env: Mapping[str, str]) -> list[str]:
    """The variables' names. Their values may have passwords."""
    wanted = {f"{kind}_proxy" for kind in _KINDS}
    return [name for name, value in env.items() if name.lower() in wanted and value]


def _bypasses(env: Mapping[str, str], host: str) -> bool:
    no_proxy = env.get("no_proxy") or env.get("NO_PROXY") or ""
    if "::1" in no_proxy.split(",") and host == "[::1]":
        return True
    return bool(proxy_bypass_environment(host, {"no": no_proxy}))
