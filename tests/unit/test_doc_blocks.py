"""Every block of code in the README and docs/ says what it is, and what is said of those that no test runs is true."""

import re

import pytest

from tests.support import doc_blocks
from tests.support.doc_blocks import ROOT, RUNNABLE, Block, blocks, of_page

BLOCKS = blocks()


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_says_its_language_and_what_is_not_run_of_it(block: Block) -> None:
    assert block.language, "say the language; a mark belongs right before its block"
    assert block.language in RUNNABLE or not block.not_run, "nobody would run it"
    for begin, why in block.not_run.items():
        assert len(why.split()) > 1, "say why"
        assert [test for test in re.findall(r"tests/[\w/]+(?:\.py)?", why) if not (ROOT / test).exists()] == []
        assert any(line.startswith(begin) for line in block.text.splitlines()), f"no line begins with {begin!r}"


def test_most_of_what_can_be_typed_is_run() -> None:
    runnable = [block for block in BLOCKS if block.language in RUNNABLE]
    assert sum(block.is_run for block in runnable) >= 10
    assert {block.page for block in runnable if block.is_run} >= {"README.md", "docs/cli.md", "docs/http.md"}


PAGE = """\
<!-- not run: it takes a day -->
```sh
make bench
```

<!-- not run (infernet keep): it does not end -->
```sh
infernet keep
infernet nodes
```

```console
$ infernet nodes
none
```

```
what is this
```
<!-- not run: of nothing -->
text
"""


def test_what_is_run_of_a_page() -> None:
    found = list(of_page("page.md", PAGE))
    assert [(str(block), block.language, block.is_run) for block in found] == [
        ("page.md:2", "sh", False),
        ("page.md:7", "sh", True),
        ("page.md:12", "console", True),
        ("page.md:17", "", False),
        ("page.md:21", "", False),
    ]
    assert [block.to_run for block in found[1:3]] == ["infernet nodes\n", "infernet nodes\n"]
    assert doc_blocks.pages()[0].name == "README.md"
