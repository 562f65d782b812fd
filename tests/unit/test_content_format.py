"""Which form of a message's content a chat template is made for. All of vLLM's answers: tests/backends."""

import ast
from importlib.util import find_spec

import pytest

from actors.backends.vllm import content_format as rule
from actors.backends.vllm.content_format import Undecidable, content_format

TEXT = "{% for m in messages %}{{ m.content }}{% endfor %}"
PARTS = "{% for m in messages %}{% for part in m['content'] %}{{ part.text }}{% endfor %}{% endfor %}"


@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")
@pytest.mark.parametrize(
    ("template", "wanted"),
    [(TEXT, "string"), (PARTS, "openai"), ("{% for m in messages", "string"), ("for part in content", "string")],
)
def test_vllms_rule_says_it(template: str, wanted: str) -> None:
    assert content_format(template) == wanted


def having(source: str, patch: pytest.MonkeyPatch) -> None:
    """vLLM's module is this."""
    patch.setattr(rule, "source", lambda _: ast.parse(source).body)


def test_only_what_the_rule_needs_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    source = """
from __future__ import annotations
import torch
from functools import lru_cache
import vllm.nowhere
raise AssertionError("the module is run")

def _other(): return torch.nowhere

@lru_cache(maxsize=2)
def _detect_content_format(chat_template: Nowhere, *, default: str) -> Nowhere:
    import re as regular
    found = [part for part in _parts(chat_template) if regular.match("p", part)]
    logger.debug("found")
    return "openai" if found else default

def _parts(text): return text.split()
"""
    having(source, monkeypatch)
    assert [content_format(template) for template in ("a part", "a text")] == ["openai", "string"]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", "vLLM is not installed here"),
        ("def another(): pass", "vLLM has no _detect_content_format any more"),
        (
            "FORMAT = 'string'\ndef _detect_content_format(t, default): return FORMAT",
            "_detect_content_format needs FORMAT",
        ),
        ("from vllm.x import y\ndef _detect_content_format(t, default): return y(t)", "needs vllm.x"),
        ("from .x import y\ndef _detect_content_format(t, default): return y(t)", "needs x"),
    ],
)
def test_a_rule_that_cannot_be_had_is_not_guessed(source: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    having(source, monkeypatch)
    with pytest.raises(Undecidable, match=reason):
        content_format(PARTS)


def test_without_vllm_a_template_without_loops_over_contents_is_made_for_text(monkeypatch: pytest.MonkeyPatch) -> None:
    having("", monkeypatch)
    assert content_format(TEXT) == "string"
