"""How far ahead of what was used a window's durable mark is kept.

A window is begun again at its mark after a crash. As long as nothing is answered before a mark covers it, a crash costs
a client at most what the mark was ahead, and gives it nothing. Marks move in blocks, so that few takes wait for one: of
a quarter of what has been used, so that who uses little loses little, however often that happens.
"""

from cluster.limits.windows import Window, Windows

_LEAST = 10
_MOST_SHARE = 10
"""No block is more than this part of a window's ceiling."""


def covered(windows: Windows, marks: Windows) -> bool:
    """Whether all that was used of these windows is known for good."""
    return all(window.used <= _marked(window, mark) for window, mark in zip(windows, marks, strict=True))


def ahead(windows: Windows, marks: Windows, ceilings: tuple[int, ...]) -> Windows:
    """The marks to write next: those that have half a block or less left are moved a block ahead of the use."""
    triples = zip(windows, marks, ceilings, strict=True)
    return tuple(_ahead(window, mark, ceiling) for window, mark, ceiling in triples)


def certain(known: Windows, moved: Windows) -> Windows:
    """What is marked for good while nobody can tell which of the two the Ledger has."""
    pairs = zip(known, moved, strict=True)
    return tuple(
        after if after.number == before.number and after.used < before.used else before for before, after in pairs
    )


def _ahead(window: Window, mark: Window, ceiling: int) -> Window:
    marked, block = _marked(window, mark), _block(window, ceiling)
    # A ceiling may have been lowered below what was used, or marked, before.
    wanted = max(marked, window.used, min(ceiling, window.used + block))
    plenty = 2 * (marked - window.used) > block
    return mark if plenty or wanted == marked else window.with_used(wanted)


def _block(window: Window, ceiling: int) -> int:
    return max(1, min(ceiling // _MOST_SHARE, max(_LEAST, window.used // 4)))


def _marked(window: Window, mark: Window) -> int:
    """How much of the window is marked. A mark of another window of the clock says nothing of this one."""
    return mark.used if mark.number == window.number else 0
