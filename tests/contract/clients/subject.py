"""What the clients ask, and the tool and the form of answer that they offer. Any environment of theirs has pydantic."""

from typing import Literal

from pydantic import BaseModel

QUESTION = "What is the capital of France?"
ANSWER = "Paris is the capital of France."

Country = Literal["France", "Peru"]
CAPITALS: dict[str, str] = {"France": "Paris", "Peru": "Lima"}


class Answer(BaseModel):
    """What is known of a country."""

    country: Country
    known: bool
