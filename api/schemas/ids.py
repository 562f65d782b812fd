"""Identifiers as answers hold them."""

from typing import Annotated

from pydantic import Field

JobIdText = Annotated[str, Field(pattern="^job_[0-9a-f]{16,}$")]
NodeIdText = Annotated[str, Field(pattern="^node_[0-9a-f]{16,}$")]
