"""What every book of the Ledger is."""

from actors.bookkeeping.desk import Desk


class Book:
    """What the Ledger keeps of one noun. Most methods are a query of `cluster/store`, run in a transaction.

    The `Ledger` is all books in one object. One with a state of its own makes it in its `__init__`, and calls this one.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._clock = desk.clock
        self._timing = desk.timing
        self._now_ms = desk.clock.wall_ms
        self._read = desk.database.read
        self._write = desk.database.write
