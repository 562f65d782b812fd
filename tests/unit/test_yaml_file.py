"""YAML as people write it: taken as `yaml.safe_load` takes it, or refused in one plain sentence at its place."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.errors import ConfigError
from cluster.settings.yaml_file import file_layer


def read(tmp_path: Path, content: str | bytes) -> Any:
    file = tmp_path / "s.yaml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file_layer(file).plain()


@pytest.mark.parametrize(
    "text",
    [
        "a: 1",
        "a: &x {b: 1, c: 2}\nd: *x",
        "a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}",
        "a: &x {b: 1, c: 2}\nd:\n  c: 3\n  <<: *x",
        "a: &x {b: 1}\ny: &y {b: 2, c: 3}\nd: {<<: [*x, *y], e: 4}",
        "a: &x {b: 1}\ny: &y {<<: *x, c: 3}\nd: {<<: *y}",
        "d: {<<: {b: 1}, c: 2}",
        "a: !!str 5\nb: !!int '6'\nc: !!float 7\nd: !!bool 'yes'\ne: !!null ''",
        "a: !!map {b: 1}\nc: !!seq [1]",
        "a: yes\nb: no\nc: on\nd: 0o17\ne: 017\nf: 0x1F\ng: 1_000\nh: 12:30:45\ni: 1e3\nj: 1.0e+3\nk: .5\nl: ~",
        "a: 2026-01-02\nb: 2026-01-02T03:04:05Z",
        "a: |\n  one\n  two\nb: >-\n  three\n  four\n",
        "'a': \"b\\u00e9\"",
        '{"a": {"b": [1, 2.5, null, true, "x"]}}',
        "a:\r\n  b: 1\r\n  c: 2\r\n",
        "---\na: 1\n...\n",
        "%YAML 1.1\n---\na: 1\n",
        "# nothing but a remark\na: {}",
        "a: b # c",
        "? a\n: 1",
    ],
)
def test_what_yaml_takes_is_taken(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == yaml.safe_load(text)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "---\n...\n", "\ufeff"])
def test_nothing_sets_nothing(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == {}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_what_editors_of_windows_write_is_read(tmp_path: Path, encoding: str) -> None:
    assert read(tmp_path, "a: é\r\nb: 2\r\n".encode(encoding)) == {"a": "é", "b": 2}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\na: 2", "2:1: a: is already set on line 1"),
        ("a:\n\tb: 1", "2:1: a tab: YAML is indented with spaces"),
        ("{\n\t\"a\": 1}", "2:1: a tab: YAML is indented with spaces"),
        ("a: 1\n---\nb: 2", "2:1: a second document begins here, and a file has one"),
        ("a: b: c", "1:5: a colon that does not belong here: put the text in quotes"),
        ("a: @b", "1:4: no value begins with @: put it in quotes"),
        ("a: %b", "1:4: no value begins with %: put it in quotes"),
        ("a: *b", "1:4: an alias without its anchor: put text that begins with * in quotes"),
        ("a: {<<: 5}", "1:5: a.<<: takes a mapping, or a list of mappings"),
        ("a: {<<: [{b: 1}, 5]}", "1:5: a.<<: takes a mapping, or a list of mappings"),
        ("a: !env NAME", "1:1: a: the tag !env is not known here: write the value itself, or env:NAME where a secret "
                         "can be named"),
        ("a: 2026-02-30", "1:1: a: cannot be read: day is out of range for month"),
        ("  a: {no: 1}", "1:7: a: a key must be text: put it in quotes"),
        ("a: [1, 2", "1:9: expected ',' or ']', but got '<stream end>'"),
        ("a: &a {b: *a}", ": is nested too deeply, or contains itself"),
    ],
)  # fmt: skip
def test_what_it_does_not_take_is_told_in_a_sentence(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, text)
    assert refused.value.message == f"{tmp_path / 's.yaml'}{'' if told.startswith(':') else ':'}{told}"


def test_every_mistake_in_keys_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, "a: 1\na: 2\nb: {1: 2, c: 3, c: 4}\n")
    assert [line.rpartition(".yaml:")[2] for line in refused.value.message.splitlines()] == [
        "2:1: a: is already set on line 1",
        "3:5: b: a key must be text: put it in quotes",
        "3:17: b.c: is already set on line 3",
    ]


def test_aliases_of_aliases_do_not_fill_the_memory(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(ConfigError, match=r"has more than 100,000 values, with all that aliases stand for"):
        read(tmp_path, "\n".join(lines))
