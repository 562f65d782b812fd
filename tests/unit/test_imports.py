"""Imports point one way: api -> actors -> cluster. Those inside functions count as well."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = ("cluster", "actors", "api")
SOURCES = sorted(path.relative_to(ROOT) for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))

STORE = Path("cluster/store")
VLLM_BACKEND = Path("actors/backends/vllm")
BUILTIN_MODELS = Path("actors/backends/builtin")
PROMPT_COUNTING = {Path("actors/backends/prompts/encoder.py"), Path("actors/backends/prompts/export.py")}

RAY = (Path("actors/ray"), Path("api/serve.py"), Path("api/cli/run"))
REPLICA = "api.replica"
BELOW_ROUTES = (REPLICA, "api.http")

NOT_FOR_THE_FLOOR = {"ray", "fastapi", "starlette", "vllm", "torch", "transformers"}
DATABASE = {"sqlmodel", "sqlalchemy", "alembic"}
LEARNING = {"torch", "transformers"}


def forbidden(path: Path, module: str) -> str | None:
    """Why the file at `path` may not import `module`, or None if it may."""
    layer, package = path.parts[0], module.partition(".")[0]
    if package in LAYERS and LAYERS.index(package) > LAYERS.index(layer):
        return f"{layer} may not import {package}"
    if layer == "cluster" and package in NOT_FOR_THE_FLOOR:
        return f"cluster may not import {package}"
    if layer == "cluster" and package in DATABASE and not path.is_relative_to(STORE):
        return f"only {STORE} imports {package}"
    if package == "ray" and not any(path.is_relative_to(place) for place in RAY):
        return "only actors/ray, api/serve.py and api/cli/run import ray"
    if path.is_relative_to("api/http") and module.startswith("api.") and not module.startswith(BELOW_ROUTES):
        return "what all routes share knows none of them"
    if path.is_relative_to("api/replica") and module.startswith("api.") and not module.startswith(REPLICA):
        return "a replica knows no HTTP"
    if path.name == "schemas.py" and module.startswith(REPLICA):
        return "a schema needs no replica"
    if package == "vllm" and not path.is_relative_to(VLLM_BACKEND):
        return f"only {VLLM_BACKEND} imports vllm"
    if package == "transformers" and path in PROMPT_COUNTING:
        return None
    if package in LEARNING and not path.is_relative_to(VLLM_BACKEND) and not path.is_relative_to(BUILTIN_MODELS):
        return f"only {BUILTIN_MODELS} and {VLLM_BACKEND} import {package}"
    return None


def imported(source: str, package: str) -> Iterator[tuple[int, str]]:
    """Line and module of every import in `source`, a file of `package`."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, level=0) if module:
                yield node.lineno, module
            case ast.ImportFrom(module=module):
                above = package.split(".")[: -(node.level - 1) or None]
                yield node.lineno, ".".join([*above, *([module] if module else [])])
            case ast.Call(
                func=ast.Name(id="__import__" | "import_module") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(module)), *_],
            ):
                yield node.lineno, module


def test_there_is_something_to_look_at() -> None:
    assert {path.parts[0] for path in SOURCES} == set(LAYERS)
    assert Path("cluster/text/token_log.py") in SOURCES


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_imports_point_one_way(path: Path) -> None:
    package = ".".join(path.parent.parts)
    found = [
        f"{path}:{line}: {reason}"
        for line, module in imported((ROOT / path).read_text("utf-8"), package)
        if (reason := forbidden(path, module))
    ]
    assert not found, "\n".join(found)


def test_no_way_of_importing_is_overlooked() -> None:
    source = """
import a.b, c
from d.e import f
from . import g
from .h import i
from ..j import k
def late():
    import l
    from m import n
    importlib.import_module("o.p")
    import_module("q")
    __import__("r")
if TYPE_CHECKING:
    import s
"""
    assert {module for _, module in imported(source, "actors.backends")} == {
        "a.b", "c", "d.e", "actors.backends", "actors.backends.h", "actors.j", "l", "m", "o.p", "q", "r", "s",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "module", "allowed"),
    [
        ("cluster/job_states.py", "cluster.ids", True),
        ("cluster/job_states.py", "actors.journal", False),
        ("cluster/store/jobs.py", "api", False),
        ("actors/journal.py", "api.http.sse", False),
        ("actors/journal.py", "cluster.job_states", True),
        ("api/app.py", "actors.journal", True),
        ("cluster/job_states.py", "sqlmodel", False),
        ("cluster/store/jobs.py", "sqlmodel", True),
        ("cluster/store/jobs.py", "ray", False),
        ("cluster/clock.py", "starlette.requests", False),
        ("actors/backends/vllm/backend.py", "vllm.engine", True),
        ("actors/engine.py", "vllm", False),
        ("actors/backends/builtin/capitals/training/train.py", "transformers", True),
        ("actors/backends/builtin/capitals/training/train.py", "vllm", False),
        ("actors/engine.py", "torch", False),
        ("actors/backends/prompts/encoder.py", "transformers", True),
        ("actors/backends/prompts/encoder.py", "torch", False),
        ("actors/backends/prompts/counter.py", "transformers", False),
        ("actors/engine.py", "ray", False),
        ("actors/ray/kind.py", "ray", True),
        ("api/http/sse.py", "ray", False),
        ("api/cli/run/system.py", "ray", True),
        ("api/jobs/schemas.py", "api.replica.intake", False),
        ("api/jobs/routes.py", "api.replica.intake", True),
        ("api/http/answers.py", "api.openai.error_shape", False),
        ("api/http/sse.py", "api.replica.streams", True),
        ("api/replica/gateway.py", "api.http.answers", False),
        ("api/replica/gateway.py", "api.replica.streams", True),
    ],
)
def test_the_rule_itself(path: str, module: str, allowed: bool) -> None:
    assert (forbidden(Path(path), module) is None) == allowed
