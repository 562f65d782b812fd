"""The adapters that a model's engines are to know, and which engines serve without one of them. Pure."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from cluster.catalogue import Adapter
from cluster.ids import EngineId
from cluster.messages.machines import AdapterRefusal

if TYPE_CHECKING:
    from cluster.fleet.replica import Replica

_NEW = "It is new: not all engines of its model have it yet"


class Adapting:
    """Sole owner of what of a model's adapters is wanted.

    Jobs are taken for the `current` ones. Engines are to know all that are `wanted`: those that have been removed as
    well, for as long as jobs for them may be open.
    """

    def __init__(self, current: Sequence[Adapter]) -> None:
        self._behind: dict[EngineId, Replica] = {}
        self.want(current)

    def want(self, current: Sequence[Adapter], removed: Sequence[Adapter] = ()) -> None:
        """Want these from now on. Whoever calls it has every engine looked at again."""
        self.current = {adapter.id: adapter for adapter in current}
        self.wanted = (*current, *removed)
        self._numbers = {adapter.id: adapter.number for adapter in current}
        self._needed = frozenset(self._numbers.values())
        self._all = frozenset(adapter.number for adapter in self.wanted)

    def number(self, adapter: str) -> int:
        """What engines know the adapter of this id by; 0 where there is none."""
        return self._numbers.get(adapter, 0)

    def to_tell(self, replica: "Replica") -> tuple[Adapter, ...] | None:
        """The adapters that this engine is to be told of; None where it has told of those and no others."""
        return None if replica.told_of == self._all else self.wanted

    def outgrows(self, refusals: Iterable[AdapterRefusal]) -> bool:
        """Whether an engine that refuses these is to be replaced by one that is made with them in mind."""
        return any(refusal.outgrown and refusal.number in self._needed for refusal in refusals)

    # Who serves without one of them -------------------------------------------------------------------------------

    def look_at(self, replica: "Replica") -> None:
        """What this engine tells has changed, or what is wanted."""
        if replica.state == "ready" and not replica.knows_all(self._needed):
            self._behind[replica.id] = replica
        else:
            self.forget(replica)

    def forget(self, replica: "Replica") -> None:
        """This engine takes no more jobs."""
        self._behind.pop(replica.id, None)

    def lacks(self, adapter: str) -> bool:
        """Whether an engine serves that does not know this one."""
        number = self.number(adapter)
        return bool(number) and any(not replica.knows(number) for replica in self._behind.values())

    def refusal(self, adapter: str) -> str:
        """Why engines that serve will not have this one, in the words of the first; nothing where they may yet."""
        number = self.number(adapter)
        told = ((replica.id, replica.refusal(number)) for replica in self._behind.values())
        return next((f"{engine_id}: {each.reason}" for engine_id, each in told if each and not each.outgrown), "")

    def awaits(self, adapter: str) -> bool:
        """Whether an engine that serves has yet to say what it makes of this one."""
        number = self.number(adapter)
        return bool(number) and any(number not in replica.told_of for replica in self._behind.values())

    def message(self, adapter: str) -> str:
        """Why no jobs are taken for this one; nothing where they are."""
        if not self.lacks(adapter):
            return ""
        if refusal := self.refusal(adapter):
            return f"It cannot be loaded by {refusal}"
        number = self.number(adapter)
        told = [replica.refusal(number) for replica in self._behind.values()]
        outgrown = next((each.reason for each in told if each), "")
        return f"Its model's engines are being replaced for it: {outgrown}" if outgrown else _NEW
