"""Pictures and sounds, and the jobs that need them."""

from typing import ClassVar

from sqlalchemy import BigInteger, Index, LargeBinary
from sqlmodel import Field, SQLModel


class MediumRow(SQLModel, table=True):
    """A picture or a sound, under the SHA-256 of its bytes. A submission brought it last at `brought_ms`."""

    __tablename__ = "media"

    hash: str = Field(primary_key=True)
    content: bytes = Field(sa_type=LargeBinary)
    brought_ms: int = Field(sa_type=BigInteger)

    __table_args__: ClassVar[tuple[Index, ...]] = (Index("media_by_time", "brought_ms"),)


MEDIA = SQLModel.metadata.tables["media"]


class JobMediumRow(SQLModel, table=True):
    """A job that has not ended needs this medium."""

    __tablename__ = "job_media"

    job_id: str = Field(primary_key=True, foreign_key="jobs.id")
    hash: str = Field(primary_key=True, foreign_key="media.hash")

    __table_args__: ClassVar[tuple[Index, ...]] = (Index("job_media_by_hash", "hash"),)


JOB_MEDIA = SQLModel.metadata.tables["job_media"]
