"""Which JSON Schemas an answer can be made to follow: a subset, near to the strict mode of OpenAI's API.

The grammars that schemas are made into ignore what they do not know, and some of what they know can keep them busy
for minutes. So all that is not listed here is refused, by its name and place.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

MAX_CHARACTERS = 65_536
MAX_DEPTH = 32
MAX_PATTERNS = 32
MAX_PATTERN_CHARACTERS = 256
MAX_PATTERN_COST = 256
"""In characters of the pattern written out, so to speak: repeats within repeats count more."""

FORMATS = ("date", "time", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid")

_ANNOTATIONS = frozenset(
    {"$comment", "$id", "$schema", "title", "description", "default", "examples"}
    | {"deprecated", "readOnly", "writeOnly", "contentEncoding", "contentMediaType"}
)
_DEFINITIONS = frozenset({"$defs", "definitions"})
_KEYWORDS_OF_TYPE: Mapping[str, frozenset[str]] = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems"}),
    "string": frozenset({"minLength", "maxLength", "pattern", "format"}),
    "integer": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
    "number": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
    "boolean": frozenset(),
    "null": frozenset(),
}
_SHAPES = ("$ref", "anyOf", "allOf", "const", "enum", "type")
"""What decides a schema's values. The first that is there is taken, and all beside it would be ignored."""

_COUNTS = ("minItems", "maxItems", "minLength", "maxLength")
_NOT_REGULAR = re.compile(r"\(\?(?!:)|\\[bBAzZGkpPuxc1-9]")
_PATTERN_PARTS = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\(\?:|\{\d+(?:,\d*)?\}|.", re.DOTALL)
_ENDLESS = 8
"""What a repeat without an end counts as, of something that has repeats in it."""
_NESTED = 4


class UnsupportedSchema(ValueError):
    """The message says what is not supported, and where: for the client whose schema it is."""


def parse(text: str) -> dict[str, Any]:
    """The JSON Schema in `text`. Raises UnsupportedSchema when it is none that an answer can be made to follow."""
    if len(text) > MAX_CHARACTERS:
        raise UnsupportedSchema(f"must not be longer than {MAX_CHARACTERS} characters")
    schema = _json(text)
    if not isinstance(schema, dict):
        raise UnsupportedSchema("must be an object")
    _Check(schema).run()
    return schema


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise UnsupportedSchema(f"must not be nested more than {MAX_DEPTH} levels deep") from None
    except ValueError:
        raise UnsupportedSchema("must be valid JSON") from None


def _no_constant(name: str) -> None:
    raise ValueError(name)


class _Check:
    """One walk over a schema."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._schemas: set[int] = set()  # identities of the schemas met
        self._references: list[tuple[str, str]] = []
        self._patterns = 0

    def run(self) -> None:
        self._walk(self._root, "", 1)
        for reference, path in self._references:
            self._check_reference(reference, path)

    def _walk(self, schema: Any, path: str, depth: int) -> None:
        if not isinstance(schema, dict):
            raise _refusal(path, "must be an object")
        if depth > MAX_DEPTH:
            raise _refusal("", f"must not be nested more than {MAX_DEPTH} levels deep")
        self._schemas.add(id(schema))
        self._check_keywords(schema, path)
        self._check_values(schema, path)
        for below, place in _below(schema, path):
            self._walk(below, place, depth + 1)

    def _check_keywords(self, schema: dict[str, Any], path: str) -> None:
        shape = next((keyword for keyword in _SHAPES if keyword in schema), None)
        allowed = _ANNOTATIONS | _DEFINITIONS | ({shape} if shape else set())
        if shape == "type":
            allowed = allowed.union(*[_KEYWORDS_OF_TYPE[name] for name in _types(schema, path)])
        elif shape in ("const", "enum"):
            allowed |= {"type", "enum"}
        for keyword in schema:
            if keyword not in allowed:
                known = keyword in _SHAPES or any(keyword in words for words in _KEYWORDS_OF_TYPE.values())
                beside = f" beside {shape!r}" if shape else " without 'type'"
                raise _refusal(path, f"{keyword!r} is not supported" + (beside if known else ""))

    def _check_values(self, schema: dict[str, Any], path: str) -> None:
        _check_shape(schema, path)
        _check_object(schema, path)
        for name in _COUNTS:
            if name in schema and not _is_count(schema[name]):
                raise _refusal(f"{path}/{name}", "must be an integer that is not negative")
        for name in _KEYWORDS_OF_TYPE["number"] & schema.keys():
            if isinstance(schema[name], bool) or not isinstance(schema[name], int | float):
                raise _refusal(f"{path}/{name}", "must be a number")
        for low, high in (("minItems", "maxItems"), ("minLength", "maxLength")):
            if schema.get(low, 0) > schema.get(high, schema.get(low, 0)):
                raise _refusal(path, f"{low!r} must not be greater than {high!r}")
        if "format" in schema and schema["format"] not in FORMATS:
            raise _refusal(f"{path}/format", f"must be one of {', '.join(FORMATS)}")
        if "pattern" in schema:
            self._patterns += 1
            if self._patterns > MAX_PATTERNS:
                raise _refusal("", f"must not have more than {MAX_PATTERNS} patterns")
            _check_pattern(schema["pattern"], f"{path}/pattern")
        if ("pattern" in schema or "format" in schema) and len(_KEYWORDS_OF_TYPE["string"] & schema.keys()) > 1:
            raise _refusal(path, "'pattern' and 'format' are only supported without other keywords of strings")
        if "$ref" in schema:
            self._references.append((schema["$ref"], f"{path}/$ref"))

    def _check_reference(self, reference: Any, path: str) -> None:
        target: Any = self._root
        if not isinstance(reference, str) or not re.fullmatch(r"#(/[^/~%]+)*", reference):
            raise _refusal(path, "must be '#' or begin with '#/', and be without '~' and '%'")
        for name in reference.split("/")[1:]:
            target = target.get(name) if isinstance(target, dict) else None
        if id(target) not in self._schemas:
            raise _refusal(path, f"there is no schema at {reference}")


def schemas(root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All schemas in one that has been checked, itself included."""
    yield root
    for below, _ in _below(root, ""):
        yield from schemas(below)


def _below(schema: dict[str, Any], path: str) -> Iterator[tuple[Any, str]]:
    """The schemas directly within `schema`, and where."""
    for keyword in ("properties", *_DEFINITIONS):
        if not isinstance(schema.get(keyword, {}), dict):
            raise _refusal(f"{path}/{keyword}", "must be an object")
        for name, below in schema.get(keyword, {}).items():
            yield below, f"{path}/{keyword}/{name}"
    for keyword in ("anyOf", "allOf", "prefixItems"):
        if not isinstance(schema.get(keyword, []), list):
            raise _refusal(f"{path}/{keyword}", "must be an array")
        for number, below in enumerate(schema.get(keyword, [])):
            yield below, f"{path}/{keyword}/{number}"
    for keyword in ("items", "additionalProperties"):
        if not isinstance(schema.get(keyword, True), bool):
            yield schema[keyword], f"{path}/{keyword}"


def _types(schema: dict[str, Any], path: str) -> list[str]:
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not types or any(not isinstance(name, str) or name not in _KEYWORDS_OF_TYPE for name in types):
        raise _refusal(f"{path}/type", f"must be of {', '.join(_KEYWORDS_OF_TYPE)}")
    return types


def _check_shape(schema: dict[str, Any], path: str) -> None:
    if "enum" in schema and (not isinstance(schema["enum"], list) or not schema["enum"]):
        raise _refusal(f"{path}/enum", "must be an array of at least one value")
    if "anyOf" in schema and not schema["anyOf"]:
        raise _refusal(f"{path}/anyOf", "must not be empty")
    if "allOf" in schema and isinstance(schema["allOf"], list) and len(schema["allOf"]) != 1:
        raise _refusal(f"{path}/allOf", "is only supported with one schema")
    values = [schema["const"]] if "const" in schema else schema.get("enum", [])
    if "const" in schema and schema["const"] not in schema.get("enum", values):
        raise _refusal(f"{path}/const", "must be one of 'enum'")
    if "type" in schema and not all(_is_of(value, _types(schema, path)) for value in values):
        raise _refusal(f"{path}/type", "must be the type of all values beside it")


def _check_object(schema: dict[str, Any], path: str) -> None:
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise _refusal(f"{path}/required", "must be an array of strings")
    for name in required:
        if name not in schema.get("properties", {}):
            raise _refusal(f"{path}/required", f"{name!r} is not among 'properties'")


def _check_pattern(pattern: Any, path: str) -> None:
    if not isinstance(pattern, str) or len(pattern) > MAX_PATTERN_CHARACTERS:
        raise _refusal(path, f"must be a string of at most {MAX_PATTERN_CHARACTERS} characters")
    if _NOT_REGULAR.search(pattern):
        raise _refusal(path, "looking around, back references and such are not supported")
    if _pattern_cost(pattern, path) > MAX_PATTERN_COST:
        raise _refusal(path, "has too many repeats of repeats, or repeats too often")


def _pattern_cost(pattern: str, path: str) -> int:
    """How much work a pattern's grammar makes, roughly: counted repeats within repeats are what takes minutes."""
    groups = [_Part()]
    for part in _PATTERN_PARTS.findall(pattern):
        if part in ("(", "(?:"):
            groups.append(_Part())
        elif part == ")":
            if len(groups) == 1:
                raise _refusal(path, "has an unbalanced bracket")
            group = groups.pop()
            groups[-1].add(group.cost, group.has_counts)
        elif part in ("*", "+", "?") or (len(part) > 1 and part[0] == "{"):
            groups[-1].repeat(part)
        elif part not in ("^", "$"):
            groups[-1].add(1, False)
    if len(groups) > 1:
        raise _refusal(path, "has an unbalanced bracket")
    return groups[0].cost


class _Part:
    """A sequence within a pattern, and the last thing in it: what a repeat belongs to."""

    def __init__(self) -> None:
        self.cost = 0
        self.has_counts = False
        self._last = (0, False)

    def add(self, cost: int, has_counts: bool) -> None:
        self.cost += cost
        self.has_counts |= has_counts
        self._last = (cost, has_counts)

    def repeat(self, sign: str) -> None:
        cost, has_counts = self._last
        counts = [int(count) for count in re.findall(r"\d+", sign)]
        endless = sign in ("*", "+") or sign.endswith(",}")
        times = max([*counts, _ENDLESS if endless and has_counts else 1])
        self.cost += cost * times * (_NESTED if has_counts and sign != "?" else 1) - cost
        self.has_counts |= bool(counts)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_of(value: Any, types: list[str]) -> bool:
    match value:
        case None:
            return "null" in types
        case bool():
            return "boolean" in types
        case int():
            return "integer" in types or "number" in types
        case float():
            return "number" in types
        case str():
            return "string" in types
        case list():
            return "array" in types
    return "object" in types


def _refusal(path: str, reason: str) -> UnsupportedSchema:
    return UnsupportedSchema(f"#{path}: {reason}" if path else reason)
