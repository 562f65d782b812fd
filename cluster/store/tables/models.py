"""What admins have set of models, and the adapters that they have added to them."""

from sqlalchemy import BigInteger, Double
from sqlmodel import Field, SQLModel


class ModelSettingsRow(SQLModel, table=True):
    """What admins have set of a model while the system runs; null is what the settings file says.

    Its engines have been restarted on demand so many times.
    """

    __tablename__ = "model_settings"

    model: str = Field(primary_key=True)
    min: int | None = None
    max: int | None = None
    idle_s: int | None = None
    restarts: int = 0


class AdapterRow(SQLModel, table=True):
    """An adapter that an admin has added to a model. One without prices costs what its model costs.

    Once it has been removed, its row is kept for as long as jobs for it may be open.
    """

    __tablename__ = "adapters"

    id: str = Field(primary_key=True)
    added_ms: int = Field(primary_key=True, sa_type=BigInteger)
    model: str
    source: str
    prompt_price: float | None = Field(default=None, sa_type=Double)
    completion_price: float | None = Field(default=None, sa_type=Double)
    removed_ms: int | None = Field(default=None, sa_type=BigInteger)


ADAPTERS = SQLModel.metadata.tables["adapters"]
MODEL_SETTINGS = SQLModel.metadata.tables["model_settings"]
