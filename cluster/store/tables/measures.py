"""What ended jobs told, added up, and what processes have counted."""

from sqlalchemy import BigInteger, Double, Text
from sqlmodel import Field, SQLModel


class MeasuresRow(SQLModel, table=True):
    """What has ended of a model, or an adapter, and an operation since there is this table. `sums` are JSON."""

    __tablename__ = "measures"

    model: str = Field(primary_key=True)
    operation: str = Field(primary_key=True)
    sums: str = Field(sa_type=Text)


MEASURES = SQLModel.metadata.tables["measures"]


class MeasureMinuteRow(SQLModel, table=True):
    """What of that has ended in one minute of the last days. `minute` counts those since the Unix epoch."""

    __tablename__ = "measure_minutes"

    minute: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    model: str = Field(primary_key=True)
    operation: str = Field(primary_key=True)
    sums: str = Field(sa_type=Text)


MEASURE_MINUTES = SQLModel.metadata.tables["measure_minutes"]


class TallyRow(SQLModel, table=True):
    """What processes have counted together under this name and these labels, which are a list in JSON."""

    __tablename__ = "tallies"

    name: str = Field(primary_key=True)
    labels: str = Field(primary_key=True)
    value: float = Field(sa_type=Double)


TALLIES = SQLModel.metadata.tables["tallies"]


class TallySourceRow(SQLModel, table=True):
    """A process that hands in what it has counted, and the number of the last sheet that is in the tallies."""

    __tablename__ = "tally_sources"

    source: str = Field(primary_key=True)
    number: int = Field(sa_type=BigInteger)
    told_ms: int = Field(sa_type=BigInteger)


TALLY_SOURCES = SQLModel.metadata.tables["tally_sources"]
