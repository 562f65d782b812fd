"""Chat templates of many kinds: the door and the engine make the tokens that vLLM's own server makes."""

import asyncio
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from actors.backends.builtin import resolve_source
from actors.backends.prompts.encoder import PromptEncoder, PromptRefused
from actors.backends.prompts.loader import load_tokenizer
from actors.backends.vllm.content_format import content_format
from actors.backends.vllm.parsers import reasoning_parsers, tool_parsers
from cluster.catalogue import CAPITALS
from cluster.conversation import ContentFormat, Conversation
from cluster.messages.work import ChatMessage
from tests.support.vllm_rendering import Answer, Case, Rendered, render

pytestmark = pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")

WEIGHTS = resolve_source(CAPITALS.source)
OWN = Path(WEIGHTS, "chat_template.jinja").read_text("utf-8")

BY_PARTS = (
    "{% for m in messages %}[{{ m.role }}]{% for part in m['content'] %}{% if part.type == 'text' %}{{ part.text }}"
    "{% endif %}{% endfor %}{% endfor %}"
)
TEMPLATES = {
    "its own": None,
    "its own, given": OWN,
    "text": "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    "parts": BY_PARTS,
    "parts under another name": (
        "{% for m in messages %}{% set content = m.content %}{% for p in content %}{{ p.text }}{% endfor %}{% endfor %}"
    ),
    "parts that a filter has chosen": (
        "{% for m in messages[1:] if m.role == 'user' %}"
        "{% for p in m.content | selectattr('type', 'equalto', 'text') %}{{ p['text'] }}{% endfor %}{% endfor %}"
    ),
    "either, as the content is": (
        "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}"
        "<{{ p.text }}>{% endfor %}{% endif %}{% endfor %}"
    ),
    "parts in a macro": (
        "{% macro told(content) %}{% if content is string %}{{ content }}{% else %}{% for p in content %}{{ p.text }}"
        "{% endfor %}{% endif %}{% endmacro %}{% for m in messages %}{{ told(m.content) }}{% endfor %}"
    ),
    "a loop over its letters": "{% for m in messages %}{% for c in m.content %}{{ c }} {% endfor %}{% endfor %}",
    "a loop over something else": (
        "{% for m in messages %}{% for content in [1, 2] %}{{ content }}{{ m.content }}{% endfor %}{% endfor %}"
    ),
    "a generation": "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
    "variables": "{{ style | default('plain') }}{{ think }}{% for m in messages %}{{ m.content | trim }}{% endfor %}",
    "a system text of its own": (
        "{% set rest = messages %}{% if messages[0].role == 'system' %}{{ messages[0].content }}"
        "{% set rest = messages[1:] %}{% endif %}{% for m in rest %}{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}>{% endif %}"
    ),
}  # fmt: skip
REFUSING = {
    "roles that alternate": (
        "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Conversation roles must alternate\nuser/assistant') }}{% endif %}{{ m.content }}"
        "{% endfor %}",
        "Conversation roles must alternate user/assistant",
    ),
    "no system": (
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        "{% for m in messages %}{{ m.content }}{% endfor %}",
        "System role not supported",
    ),
    "an attribute of what is not there": (
        "{% for m in messages %}{{ m.content }}{% if m.role == 'system' %}{{ m.secret.more }}{% endif %}{% endfor %}",
        "the model's chat template cannot render this dialogue",
    ),
    "text and a number": (
        "{% for m in messages %}{{ m.content if m.role == 'user' else m.content + 1 }}{% endfor %}",
        "the model's chat template cannot render this dialogue",
    ),
    "a division": (
        "{{ 1 / (messages | length - 2) }}{% for m in messages %}{{ m.content }}{% endfor %}",
        "the model's chat template cannot render this dialogue",
    ),
}
DIALOGUES = [
    (ChatMessage("user", "What is the capital of Brazil?"),),
    (ChatMessage("user", ""), ChatMessage("assistant", " It's\n"), ChatMessage("user", "naïve 日本語 🦊</s><s>")),
    (ChatMessage("system", "Be brief. "), ChatMessage("user", "  Two\n\nlines ")),
]
REFUSED = DIALOGUES[2]
FORMATS: tuple[ContentFormat, ...] = ("auto", "string", "openai")
VARIABLES = {"think": False, "style": "terse", "unknown": [1, {"a": None}], "bos_token": "Capital"}


def case(template: str | None, given: ContentFormat, messages: Sequence[ChatMessage], **variables: Any) -> Case:
    return Case(WEIGHTS, Conversation(template, given, variables), messages)


@pytest.fixture(scope="module")
def cases() -> dict[tuple[Any, ...], Case]:
    of_formats = {
        (name, given, number): case(template, given, messages, **VARIABLES)
        for name, template in TEMPLATES.items()
        for given in FORMATS
        for number, messages in enumerate(DIALOGUES)
    }
    return of_formats | {(name,): case(template, "auto", REFUSED) for name, (template, _) in REFUSING.items()}


@pytest.fixture(scope="module")
def answer(cases: dict[tuple[Any, ...], Case]) -> Answer:
    return render(list(cases.values()))


@pytest.fixture(scope="module")
def rendered(cases: dict[tuple[Any, ...], Case], answer: Answer) -> dict[tuple[Any, ...], Rendered]:
    return dict(zip(cases, answer.rendered, strict=True))


@pytest.fixture(scope="module")
def encoders() -> dict[str, PromptEncoder]:
    """The door's encoder for each template, as if its process had exported it."""
    exported = asyncio.run(load_tokenizer(CAPITALS))
    return {
        name: PromptEncoder(replace(exported, chat_template=template, content_format=content_format(template)))
        for name, template in {name: template or OWN for name, template in TEMPLATES.items()}.items()
    }


@pytest.mark.parametrize("name", [*TEMPLATES, *REFUSING])
def test_the_format_is_found_as_vllm_finds_it(name: str, rendered: dict[tuple[Any, ...], Rendered]) -> None:
    template = TEMPLATES[name] or OWN if name in TEMPLATES else REFUSING[name][0]
    found = rendered[(name, "auto", 0)] if name in TEMPLATES else rendered[(name,)]
    assert content_format(template) == found.content_format


@pytest.mark.parametrize("name", TEMPLATES)
def test_all_three_make_the_same_tokens(
    name: str, rendered: dict[tuple[Any, ...], Rendered], encoders: dict[str, PromptEncoder]
) -> None:
    for number, messages in enumerate(DIALOGUES):
        of_vllm = rendered[(name, "auto", number)]
        assert of_vllm.engine == of_vllm.server
        assert list(encoders[name].encode(messages, variables=VARIABLES)) == of_vllm.server


@pytest.mark.parametrize("given", ["string", "openai"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_a_format_that_is_said_is_the_one(name: str, given: Any, rendered: dict[tuple[Any, ...], Rendered]) -> None:
    for number in range(len(DIALOGUES)):
        of_vllm = rendered[(name, given, number)]
        if isinstance(of_vllm.server, str):  # parts are no text
            assert of_vllm.engine.partition(": ")[2] == of_vllm.server  # type: ignore[union-attr]
        else:
            assert of_vllm.engine == of_vllm.server


@pytest.mark.parametrize(
    "conversation",
    [
        Conversation(BY_PARTS, template_kwargs=VARIABLES),
        Conversation(TEMPLATES["variables"], template_kwargs=VARIABLES),
        Conversation(BY_PARTS.replace("part", "x" * 200_000)),
        Conversation(content_format="string"),
    ],
    ids=["parts", "variables", "longer than an argument may be", "its own"],
)  # fmt: skip
def test_the_door_loads_what_the_catalogue_says(conversation: Conversation) -> None:
    model = replace(
        CAPITALS,
        chat_template=conversation.chat_template,
        chat_template_content_format=conversation.content_format,
        chat_template_kwargs=conversation.template_kwargs,
    )
    exported = asyncio.run(load_tokenizer(model))
    template = conversation.chat_template or OWN
    assert (exported.chat_template, exported.variables) == (template, conversation.template_kwargs)
    assert exported.content_format == content_format(template)
    by_hand = PromptEncoder(replace(exported, variables={}))
    for messages in DIALOGUES:
        of_request = by_hand.encode(messages, variables=conversation.template_kwargs)
        assert PromptEncoder(exported).encode(messages) == of_request


@pytest.mark.parametrize("name", REFUSING)
def test_a_refusal_has_the_same_words_at_the_door_and_in_the_engine(
    name: str, rendered: dict[tuple[Any, ...], Rendered]
) -> None:
    template, words = REFUSING[name]
    exported = asyncio.run(load_tokenizer(replace(CAPITALS, chat_template=template)))
    with pytest.raises(PromptRefused) as refused:
        PromptEncoder(exported).encode(REFUSED)
    assert str(refused.value) == words
    of_vllm = rendered[(name,)]
    assert isinstance(of_vllm.engine, str) and isinstance(of_vllm.server, str)
    kind, _, said = of_vllm.engine.partition(": ")
    assert said == of_vllm.server
    assert (kind == "TemplateError") == (" ".join(said.split()) == words)


def test_parsers_are_those_that_vllm_registers(answer: Answer) -> None:
    assert tool_parsers() == answer.tool_parsers
    assert reasoning_parsers() == answer.reasoning_parsers
