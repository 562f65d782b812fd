"""What has been removed, and may still be in the database's files."""

from actors.database.access import Access


class Leftovers:
    """Has the database hold nothing any more of what has been removed, once it is told that something was."""

    def __init__(self, database: Access) -> None:
        self._database = database
        self._are_there = False

    def note(self) -> None:
        """Something has been removed."""
        self._are_there = True

    async def clear(self) -> None:
        """What cannot be cleared now is the next time. Raises `DatabaseFailed`."""
        if self._are_there:
            self._are_there = not await self._database.forget()
