"""Settings as a YAML file has them: each value with its line and column. What `yaml.safe_load` takes is taken.

https://yaml.org/spec/1.1/
"""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

from cluster.errors import ConfigError
from cluster.settings.checks import Value
from cluster.settings.mistakes import Mistakes
from cluster.settings.places import item_path, key_path, placed

KEY_REASON = "a key must be text: put it in quotes"

_MERGE = "tag:yaml.org,2002:merge"
_OWN_TAGS = "tag:yaml.org,2002:"
_MOST_VALUES = 100_000
"""Aliases of aliases make thousands of millions of a few lines."""

_IN_PLAIN_WORDS = (
    (re.compile(r"found character '\\t'.*"), "a tab: YAML is indented with spaces"),
    (re.compile(r"but found another document"), "a second document begins here, and a file has one"),
    (
        re.compile(r"could not determine a constructor for the tag '(.*)'"),
        r"the tag \1 is not known here: write the value itself, or env:NAME where a secret can be named",
    ),
    (re.compile(r"mapping values are not allowed here"), "a colon that does not belong here: put the text in quotes"),
    (
        re.compile(r"found undefined alias .*"),
        "an alias without its anchor: put text that begins with * in quotes",
    ),
    (
        re.compile(r"found character '([@`%])' that cannot start any token"),
        r"no value begins with \1: put it in quotes",
    ),
)


def file_layer(path: Path) -> Value:
    """What a YAML file says, each value with its place. Raises ConfigError for a file that cannot be read."""
    try:
        return _layer(_text(path.read_bytes()), str(path))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: is nested too deeply, or contains itself") from error


def _text(content: bytes) -> str:
    """As UTF-8, or as its first bytes say: editors and shells of Windows write them."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    return content.decode("utf-8-sig")


def _layer(text: str, file: str) -> Value:
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None or _is_nothing(root):
            return Value({}, file)
        return _Reader(loader, file).value(root, root, "")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise ConfigError(f"{file}:{line}:{column}: {_in_plain_words(str(error.problem))}") from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - before.rfind("\n")
        raise ConfigError(f"{file}:{line}:{column}: contains a character that YAML does not allow") from None


def _is_nothing(node: yaml.Node) -> bool:
    """Whether it is a document without content, between its marks."""
    return isinstance(node, yaml.ScalarNode) and not node.value and not node.style


def _as_written(node: yaml.Node) -> str:
    """How a scalar stands there, where it is not in quotes."""
    return str(node.value) if isinstance(node, yaml.ScalarNode) and not node.style else ""


def _in_plain_words(problem: str) -> str:
    for pattern, words in _IN_PLAIN_WORDS:
        if pattern.fullmatch(problem):
            return pattern.sub(words, problem)
    return problem


class _Reader:
    """Turns YAML nodes into Values. The place of a value in a mapping is its key's."""

    def __init__(self, loader: yaml.SafeLoader, file: str) -> None:
        self._loader = loader
        self._file = file
        self._values = 0

    def value(self, node: yaml.Node, at: yaml.Node, path: str) -> Value:
        self._values += 1
        if self._values > _MOST_VALUES:
            self._refuse(at, path, f"has more than {_MOST_VALUES:,} values, with all that aliases stand for")
        place = self._place(at, path)
        match node:
            case yaml.MappingNode():
                return Value(self._mapping(node, path), place)
            case yaml.SequenceNode():
                items = [self.value(item, item, item_path(path, index)) for index, item in enumerate(node.value)]
                return Value(items, place)
            case _:
                return Value(self._scalar(node, at, path), place, _as_written(node))

    def _mapping(self, node: yaml.MappingNode, path: str) -> dict[str, Value]:
        mistakes = Mistakes()
        mapping: dict[str, Value] = {}
        merged: dict[str, Value] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            with mistakes.noted():
                if key_node.tag == _MERGE:
                    for each in self._merged(value_node, key_node, path):
                        merged = each | merged
                    continue
                key = self._key(key_node, path)
                if key in mapping:
                    self._refuse(key_node, key_path(path, key), f"is already set on line {lines[key]}")
                lines[key] = key_node.start_mark.line + 1
                mapping[key] = self.value(value_node, key_node, key_path(path, key))
        mistakes.tell()
        return merged | mapping

    def _merged(self, node: yaml.Node, at: yaml.Node, path: str) -> Iterator[dict[str, Value]]:
        """The mappings that `<<` adds to one, the first before the others: https://yaml.org/type/merge.html."""
        for each in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(each, yaml.MappingNode):
                self._refuse(at, key_path(path, "<<"), "takes a mapping, or a list of mappings")
            yield self._mapping(each, path)

    def _key(self, node: yaml.Node, path: str) -> str:
        key = self._scalar(node, node, path) if isinstance(node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            self._refuse(node, path, KEY_REASON)
        return key

    def _scalar(self, node: yaml.Node, at: yaml.Node, path: str) -> Any:
        try:
            return self._loader.construct_object(node)
        except ValueError as error:
            # What YAML takes for a number or a date by its looks, such as 2026-02-30.
            self._refuse(at, path, f"cannot be read: {error}")
        except yaml.constructor.ConstructorError as error:
            tag = node.tag.replace(_OWN_TAGS, "!!")
            self._refuse(at, path, _in_plain_words(str(error.problem)).replace(node.tag, tag))

    def _refuse(self, at: yaml.Node, path: str, reason: str) -> NoReturn:
        raise ConfigError(f"{self._place(at, path)}: {reason}")

    def _place(self, at: yaml.Node, path: str) -> str:
        return placed(f"{self._file}:{at.start_mark.line + 1}:{at.start_mark.column + 1}", path)
