"""Pages of the site that are made of something else: the README, the OpenAPI document, the commands, the decisions.

MkDocs calls `on_files`, as mkdocs.yml says.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT)]  # MkDocs runs this file by its path

import command_reference  # noqa: E402
import http_reference  # noqa: E402

QUICK_START = ("Try it", "First steps")
ELSEWHERE = ("Where to read on",)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    for path, text in pages():
        files.append(File.generated(config, path, content=text))
    return files


def pages() -> Iterator[tuple[str, str]]:
    """Path and text of each page that is made."""
    sections = _sections((ROOT / "README.md").read_text())
    yield "index.md", "".join(text for name, text in sections.items() if name not in QUICK_START + ELSEWHERE)
    yield "quick-start.md", "# Quick start\n\n" + "".join(sections[name] for name in QUICK_START)
    yield "reference/http.md", http_reference.page()
    yield "reference/commands.md", command_reference.page()
    yield "decisions/index.md", "# Decisions\n\nWhat was chosen, and why.\n\n" + "\n".join(_decisions()) + "\n"


def _sections(readme: str) -> dict[str, str]:
    """The README's sections by their headings, with links as they are among the pages; the first one is its beginning."""
    text = readme.replace("](docs/decisions)", "](decisions/index.md)").replace("](docs/", "](")
    begins = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    return {begin.split("\n", 1)[0].removeprefix("## "): begin for begin in begins}


def _decisions() -> Iterator[str]:
    for path in sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md")):
        title = path.read_text().split("\n", 1)[0].removeprefix("# ")
        yield f"- [{title}]({path.name})"
