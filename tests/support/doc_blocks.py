"""The blocks of code in the README and the pages of docs/, and what is said of those that no test runs.

A block says which language it is in. Shell, `console` (commands with what they print) and Python are run by
`tests/contract/test_docs.py`, unless the line before says why not:

    <!-- not run: WHY -->                  none of it
    <!-- not run (infernet keep): WHY -->  the lines that begin so; there may be several of these
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
RUNNABLE = ("sh", "console", "python")

_FENCE = re.compile(r"^ *```+ *(?P<language>[\w-]*)")
_MARK = re.compile(r"^ *<!-- not run(?: \((?P<begin>[^)]+)\))?: (?P<why>.+) -->$")


class Block(NamedTuple):
    """A block, where it begins, and why lines of it that begin so are not run; those with "" are all of it."""

    page: str
    line: int
    language: str
    text: str
    not_run: Mapping[str, str]

    @property
    def is_run(self) -> bool:
        return self.language in RUNNABLE and "" not in self.not_run

    @property
    def to_run(self) -> str:
        """What of it is run."""
        lines = self.text.splitlines()
        if self.language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        kept = [line for line in lines if not any(line.startswith(begin) for begin in self.not_run)]
        return "\n".join(kept) + "\n"

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks() -> list[Block]:
    return [block for path in pages() for block in of_page(str(path.relative_to(ROOT)), path.read_text())]


def of_page(page: str, text: str) -> Iterator[Block]:
    """The blocks of a page. A mark that is not right before one is taken for a block without a language."""
    marks: dict[str, str] = {}
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        if mark := _MARK.match(line):
            marks[mark["begin"] or ""] = mark["why"]
        elif fence := _FENCE.match(line):
            body = []
            for _, inside in lines:
                if _FENCE.match(inside):
                    break
                body.append(inside)
            yield Block(page, number, fence["language"], "\n".join(body), marks)
            marks = {}
        elif line.strip() and marks:
            yield Block(page, number, "", line, marks)
            marks = {}
