"""Where media may be fetched from: nowhere inside, whatever a name says."""

from collections.abc import Sequence

import pytest

from actors.outgoing.addresses import AddressRefused, PublicAddresses, is_public
from tests.support.plain_system import run

PUBLIC = ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:8.8.8.8", "64:ff9b::808:808"]
NOT_PUBLIC = [
    "127.0.0.1",
    "127.8.9.1",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.0.8",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2001:0:7f00:1::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "2001:db8::1",
    "no address",
    "",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_others_are_not(address: str) -> None:
    assert not is_public(address)


def looked_up(*addresses: str) -> Sequence[str]:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    async def look_up() -> Sequence[str]:
        return await PublicAddresses(resolve)("pictures.test", 443)

    return run(look_up())


def test_a_name_with_public_addresses_has_these() -> None:
    assert looked_up(*PUBLIC) == tuple(PUBLIC)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_a_name_that_has_another_one_among_them_is_refused(address: str) -> None:
    with pytest.raises(AddressRefused):
        looked_up(PUBLIC[0], address)


def test_a_name_that_leads_nowhere_is_refused() -> None:
    with pytest.raises(AddressRefused):
        looked_up()
