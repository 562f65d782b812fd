"""What was probably meant by a name that nobody knows."""

import difflib
import re
from collections.abc import Iterable

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_LOOKED_AT = 3
_ALIKE = 0.6
_LONGEST = 64


def nearest(name: str, known: Iterable[str], alike: float = _ALIKE) -> str | None:
    """The one of these names that is most like it, however it separates its words; None where none is `alike`.

    Of those that are, one of which it has all words comes first: `max_completion_tokens` is `max_tokens`.
    """
    if len(name) > _LONGEST:
        return None
    spelt = {_plain(each): each for each in known}
    close = difflib.get_close_matches(_plain(name), list(spelt), n=_LOOKED_AT, cutoff=alike)
    with_its_words = [each for each in close if _words(each) <= _words(_plain(name))]
    return next((spelt[each] for each in (*with_its_words, *close)), None)


def hint(name: str, known: Iterable[str]) -> str:
    """The end of a refusal: the nearest name, or else all that there are."""
    names = list(known)
    close = nearest(name, names)
    return f"; did you mean {close}?" if close else f"; known are {', '.join(names)}"


def _plain(name: str) -> str:
    return _HUMP.sub("_", name.strip()).lower().replace("-", "_").replace(" ", "_")


def _words(plain: str) -> set[str]:
    return set(plain.split("_"))
