"""docs/contract.md names tests that exist, and every test of tests/contract."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONTRACT = ROOT / "tests" / "contract"
NAMED = re.findall(r"`((?:tests/\w+/)?test_\w+\.py)(?:::(\w+))?`", (ROOT / "docs" / "contract.md").read_text())


def path(file: str) -> Path:
    return ROOT / file if "/" in file else CONTRACT / file


@cache
def cases_of(file: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def test_every_test_it_names_exists() -> None:
    missing = [
        (file, test) for file, test in NAMED if not path(file).exists() or (test and test not in cases_of(path(file)))
    ]
    assert missing == []


def test_it_names_every_test_of_the_contract() -> None:
    named = {(path(file), test) for file, test in NAMED}
    there = {(file, test) for file in CONTRACT.glob("test_*.py") for test in cases_of(file)}
    assert there - named == set()
