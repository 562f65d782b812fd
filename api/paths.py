"""Identifiers in paths. One that no database can hold names nothing."""

from typing import Annotated

from fastapi import Depends, Path

from cluster.errors import JobNotFound, KeyNotFound
from cluster.ids import JobId, KeyId


async def _job_id(job_id: Annotated[str, Path()]) -> JobId:
    if "\0" in job_id:
        raise JobNotFound("No such job")
    return JobId(job_id)


async def _key_id(key_id: Annotated[str, Path()]) -> KeyId:
    if "\0" in key_id:
        raise KeyNotFound("No such key")
    return KeyId(key_id)


JobPath = Annotated[JobId, Depends(_job_id)]
KeyPath = Annotated[KeyId, Depends(_key_id)]
