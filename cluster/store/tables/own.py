"""The system's own: who owns the database, and secrets that it made."""

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel


class OwnerRow(SQLModel, table=True):
    """The one row that says which system owns the database: the one that was given the number `epoch`.

    `touched_ms` is when one last made sure that it can write.
    """

    __tablename__ = "owner"

    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    epoch: int = Field(sa_type=BigInteger)
    taken_ms: int = Field(sa_type=BigInteger)
    touched_ms: int = Field(sa_type=BigInteger)


OWNER = SQLModel.metadata.tables["owner"]


class OwnSecretRow(SQLModel, table=True):
    """A secret that the system made for itself, and that all its processes share."""

    __tablename__ = "own_secrets"

    name: str = Field(primary_key=True)
    secret: str


OWN_SECRETS = SQLModel.metadata.tables["own_secrets"]
