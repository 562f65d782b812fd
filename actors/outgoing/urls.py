"""URLs that others name, to be sent something: which of them may be asked at all, before any name is looked up."""

import ipaddress
from collections.abc import Sequence
from typing import Final

import httpx

from actors.outgoing.addresses import is_named, is_public

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
MAX_CHARACTERS: Final = 2048
_LAST_PORT: Final = 65_535


class UrlRefused(Exception):
    """The message says what such a URL must be, in words for the client."""


def checked(url: str, private: Sequence[str]) -> httpx.URL:
    """The URL, if it may be sent something: `https:`, or `http:` to one of these `private` hosts.

    Where a name leads is not looked at here: it may lead elsewhere when it is used. Raises UrlRefused.
    """
    target = _parsed(url)
    if target.scheme not in DEFAULT_PORTS or not target.host:
        raise UrlRefused("must be an https: URL")
    if target.userinfo:
        raise UrlRefused("must not name a user")
    if target.fragment:
        raise UrlRefused("must not have a fragment")
    if not 1 <= port_of(target) <= _LAST_PORT:
        raise UrlRefused(f"must have a port from 1 to {_LAST_PORT}")
    if is_named(target.host, port_of(target), private):
        return target
    if target.scheme != "https":
        raise UrlRefused("must be an https: URL; http: is for hosts that the setting webhooks.private_hosts names")
    if _is_address(target.host) and not is_public(target.host):
        raise UrlRefused("its address is not public, and the setting webhooks.private_hosts does not name it")
    return target


def port_of(url: httpx.URL) -> int:
    return DEFAULT_PORTS[url.scheme] if url.port is None else url.port


def _parsed(url: str) -> httpx.URL:
    if len(url) > MAX_CHARACTERS:
        raise UrlRefused(f"must have at most {MAX_CHARACTERS} characters")
    # A parser would drop or quote these, and the owner would not find the URL again that was registered.
    if not url.isascii() or not url.isprintable() or " " in url:
        raise UrlRefused("must be of printable ASCII characters, others quoted")
    try:
        return httpx.URL(url)
    except httpx.InvalidURL:
        raise UrlRefused("is no URL") from None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
