"""Secrets on their way to the actor that needs them.

Arguments of actors and of Serve's deployments can be seen in Ray's dashboard, logs and state API; so they carry a name,
by which the actor finds the secret in the store of Ray's head. Who can read that store can run code in the cluster.
"""

import hashlib
import hmac
import secrets

from ray.experimental import internal_kv

_NAMESPACE = b"infernet"
_SALT = b"salt"
_KEPT = "kept:"


def keep(secret: str) -> str:
    """A name for the secret: the same for the same secret on this cluster, and nothing to guess it by. Blocks."""
    if secret.startswith(_KEPT):
        return secret
    name = _KEPT + hmac.new(_salt(), secret.encode(), hashlib.sha256).hexdigest()[:32]
    internal_kv._internal_kv_put(name.encode(), secret.encode(), namespace=_NAMESPACE)
    return name


def recall(name: str) -> str:
    """The secret of this name. Blocks. Raises KeyError when the cluster does not have it."""
    secret = internal_kv._internal_kv_get(name.encode(), namespace=_NAMESPACE)
    if secret is None:
        raise KeyError("the cluster's head does not have this secret any more")
    return str(secret.decode())


def _salt() -> bytes:
    internal_kv._internal_kv_put(_SALT, secrets.token_bytes(32), overwrite=False, namespace=_NAMESPACE)
    salt = internal_kv._internal_kv_get(_SALT, namespace=_NAMESPACE)
    assert isinstance(salt, bytes)
    return salt
