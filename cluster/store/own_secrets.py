"""Queries about the secrets that the system made for itself."""

from sqlalchemy import Connection, bindparam, insert, select

from cluster.store.tables.own import OWN_SECRETS


def kept(connection: Connection, name: str, new: str) -> str:
    """The secret of this name: the one that is there, else `new`, which is kept from now on."""
    secret = connection.scalar(_SECRET, {"name": name})
    if secret is None:
        connection.execute(insert(OWN_SECRETS), {"name": name, "secret": new})
    return new if secret is None else str(secret)


_SECRET = select(OWN_SECRETS.c.secret).where(OWN_SECRETS.c.name == bindparam("name"))
