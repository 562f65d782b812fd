"""Which way requests go: by the proxies that the environment names, but never to this machine itself."""

from ipaddress import ip_address
from typing import Any

import httpx

from cluster.errors import ConfigError

_NAMES = "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY"


def http_client(base_url: str, **options: Any) -> httpx.Client:
    """A client for this server. Raises ConfigError where the environment names a proxy that cannot be used."""
    if is_this_machine(httpx.URL(base_url).host):
        return httpx.Client(base_url=base_url, trust_env=False, **options)
    try:
        return httpx.Client(base_url=base_url, **options)
    except ImportError:
        raise ConfigError(f"A SOCKS proxy needs the package 'socksio': install it, or see to {_NAMES}") from None
    except (ValueError, httpx.InvalidURL):  # its words may have a proxy's password
        raise ConfigError(f"A proxy's address cannot be used: see to {_NAMES}") from None


def is_this_machine(host: str) -> bool:
    """Whether a URL's host is a name or an address of the loopback interface."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
