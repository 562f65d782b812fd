"""What actors mark, so that whoever comes after them goes on from there."""

from typing import ClassVar

from sqlalchemy import BigInteger, Double, Index
from sqlmodel import Field, SQLModel


class WindowRow(SQLModel, table=True):
    """How much of a rate limit's window was used: the latest window of each length. `ends_s` is its end."""

    __tablename__ = "rate_windows"

    key_id: str = Field(primary_key=True)
    bucket: str = Field(primary_key=True)
    length_s: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    number: int = Field(sa_type=BigInteger)
    used: int = Field(sa_type=BigInteger)
    ends_s: int = Field(sa_type=BigInteger)

    __table_args__: ClassVar[tuple[Index, ...]] = (Index("rate_windows_by_end", "ends_s"),)


WINDOWS = SQLModel.metadata.tables["rate_windows"]


class ShareRow(SQLModel, table=True):
    """What an account has had of a model while others waited, in tokens by their weight and its own."""

    __tablename__ = "shares"

    model: str = Field(primary_key=True)
    account_id: str = Field(primary_key=True)
    counter: float = Field(sa_type=Double)


SHARES = SQLModel.metadata.tables["shares"]
