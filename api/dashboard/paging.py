"""Lists that are held as a whole, shown a page at a time, so that no answer grows with them."""

from collections.abc import Sequence
from typing import Annotated, Generic, NamedTuple, TypeVar

from fastapi import Query

T = TypeVar("T")

ROWS = 20

PageNumber = Annotated[int, Query(alias="page", ge=1, le=1_000_000)]


class Page(NamedTuple, Generic[T]):
    """Some of `total`, and which page of how many it is, from 1."""

    rows: Sequence[T]
    total: int
    number: int
    pages: int

    @classmethod
    def of(cls, all_rows: Sequence[T], number: int) -> "Page[T]":
        """The page of this number, or the last one where there are fewer."""
        pages = max(1, -(-len(all_rows) // ROWS))
        number = min(number, pages)
        return cls(all_rows[(number - 1) * ROWS : number * ROWS], len(all_rows), number, pages)
