"""Adapters that admins add to a model while it serves, and remove again."""

from typing import Annotated

from pydantic import Field

from api.http.bodies import AnyText, ExactRequest, Text
from cluster import catalogue

MOST_PRICE = 1_000_000

Amount = Annotated[float, Field(ge=0, le=MOST_PRICE)]


class PriceRequest(ExactRequest):
    """Currency units per million tokens."""

    prompt: Amount = 0.0
    completion: Amount = 0.0


class AdapterRequest(ExactRequest):
    """A LoRA adapter: a folder, a hub id or what comes with this project, and what jobs call it.

    Without a `price` its tokens cost what its model's cost. A folder is looked for on every machine with an engine.
    """

    id: Text
    source: AnyText = ""
    price: PriceRequest | None = None

    def adapter(self) -> catalogue.Adapter:
        price = None if self.price is None else catalogue.Price(self.price.prompt, self.price.completion)
        return catalogue.Adapter(self.id, self.source, price)
