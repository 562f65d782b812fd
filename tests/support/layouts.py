"""How everything looks that one process tells another: `python -m tests.support.layouts` writes it down.

Messages travel by position, so that one more field, or two that change places, is misread by an older process. What is
written down is compared with what is, and may change only together with `PROTOCOL_VERSION`.
"""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

from msgspec import Struct, structs

import cluster
from cluster.release import PROTOCOL_VERSION

FILE = Path(__file__).with_name("layouts.txt")
# Values that never leave their process.
_INSIDE = ("cluster.simulation.", "cluster.fleet.scaling")
# What is told between actors besides the messages, and what their makers are given.
_OTHERS = ("actors.backends.base", "actors.ray.remote", "cluster.leases.actions")


def written() -> str:
    """The version, then a line per struct: its name, how it is encoded, and its fields in their order."""
    lines = [line(struct) for struct in sorted(_structs(), key=lambda struct: (struct.__module__, struct.__name__))]
    return "\n".join([f"protocol {PROTOCOL_VERSION}", *lines, ""])


def version_of(text: str) -> int:
    return int(text.split("\n", 1)[0].removeprefix("protocol "))


def _structs() -> set[type[Struct]]:
    names = [
        module.name for module in pkgutil.walk_packages(cluster.__path__, "cluster.") if "store" not in module.name
    ]
    modules = [importlib.import_module(name) for name in (*names, *_OTHERS)]
    found = (thing for module in modules for thing in vars(module).values() if inspect.isclass(thing))
    structs_of_all = {thing for thing in found if issubclass(thing, Struct) and thing is not Struct}
    return {struct for struct in structs_of_all if not struct.__module__.startswith(_INSIDE)}


def line(struct: type[Struct]) -> str:
    config = struct.__struct_config__
    encoding = f"array_like={config.array_like} tag={config.tag!r}"
    fields = ", ".join(f"{field.encode_name}: {_type(field.type)}" for field in structs.fields(struct))
    return f"{struct.__module__}.{struct.__name__} [{encoding}] ({fields})"


def _type(kind: object) -> str:
    shown = (
        f"{kind.__module__}.{kind.__qualname__}"
        if inspect.isclass(kind) and not hasattr(kind, "__args__")
        else str(kind)
    )
    return re.sub(r"\b(builtins|typing)\.", "", shown)


if __name__ == "__main__":
    FILE.write_text(written())
