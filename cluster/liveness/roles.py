"""Which of several processes of one actor is the one that counts. Pure.

One that was paused, or cut off, while another began in its place may wake up later, and decide by what it remembers.
"""

JOURNAL_ROLE = "Journal"
SCHEDULER_ROLE = "Scheduler"


class Roles:
    """Who holds each role: the one that began last, as far as is known here."""

    def __init__(self) -> None:
        self._holders: dict[str, str] = {}
        # Whoever has asked before: a call of its beginning that comes late, or twice, is no beginning any more.
        self._known: set[str] = set()

    def hold(self, role: str, holder: str, begins: bool) -> bool:
        """Whether this one holds the role. One that begins takes it; of nobody's role whoever asks has it."""
        if begins and holder not in self._known:
            self._holders[role] = holder
        self._known.add(holder)
        return self._holders.get(role, holder) == holder
