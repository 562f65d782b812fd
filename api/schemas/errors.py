"""What every answer that is not a success looks like."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from cluster.errors import InfernetError


class Error(TypedDict):
    """What went wrong."""

    error: Annotated[str, Field(description="A code that does not change", examples=["bad_request"])]
    error_message: Annotated[str, Field(description="What to do about it; of a bad request, the field's name first")]


def error_body(error: InfernetError) -> Error:
    return {"error": error.code, "error_message": error.message}
