"""What admins have set of models."""

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


MODEL_SETTINGS = SQLModel.metadata.tables["model_settings"]
