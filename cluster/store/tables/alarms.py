"""What is known of nodes and models: what would be missed, and what has been told of."""

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel


class OnlineNodeRow(SQLModel, table=True):
    """A node that would be missed: online since then, on a machine of this name."""

    __tablename__ = "online_nodes"

    id: str = Field(primary_key=True)
    since_ms: int = Field(sa_type=BigInteger)
    name: str


ONLINE_NODES = SQLModel.metadata.tables["online_nodes"]


class FailedModelRow(SQLModel, table=True):
    """A model of which it has been told that it failed, with engines made of this."""

    __tablename__ = "failed_models"

    id: str = Field(primary_key=True)
    make: str


FAILED_MODELS = SQLModel.metadata.tables["failed_models"]
