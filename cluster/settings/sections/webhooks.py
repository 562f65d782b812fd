"""Where webhooks may be sent."""

from msgspec import Struct

from cluster.settings.checks import Value, integer, list_of, section
from cluster.settings.sections.hosts import host


class Webhooks(Struct, frozen=True):
    """Where webhooks may be sent: to public addresses, and to these `private_hosts`, each a name or `name:port`.

    An endpoint has `timeout_s` to answer.
    """

    private_hosts: tuple[str, ...] = ()
    timeout_s: int = 15


def webhooks(value: Value) -> Webhooks:
    return Webhooks(**section(value, {"private_hosts": list_of(_bare_host), "timeout_s": integer(1, 60, unit="s")}))


def _bare_host(value: Value) -> str:
    """As it is compared: an address of IPv6 without the brackets that it has in a URL."""
    return host(value).replace("[", "").replace("]", "")
