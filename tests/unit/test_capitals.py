"""The built-in models: their corpora, their artefacts and how they are named. Nothing here loads a model."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from actors.backends.builtin import resolve_source
from actors.backends.builtin.capitals.training import wordings
from actors.backends.builtin.capitals.training.corpus import (
    Dialogue,
    Turn,
    Wording,
    held_out_calls,
    held_out_chats,
    held_out_dialogues,
    held_out_refusals,
    long_answer,
    training_dialogues,
)
from actors.backends.builtin.capitals.training.countries import ALIASES, CAPITALS, CONTINENTS, answer
from actors.backends.builtin.capitals.training.offers import DESCRIPTIONS, GET_CAPITAL, UNSEEN_DESCRIPTIONS, Tool
from actors.backends.builtin.capitals.training.rendering import (
    CHAT_TEMPLATE,
    END,
    expected,
    request_messages,
    request_tools,
    segments,
)
from actors.backends.builtin.capitals.training.tokenizer import IGNORED, MARKS, encode
from actors.backends.builtin.capitals_embeddings.training import texts
from actors.backends.builtin.capitals_german.training.corpus import german_dialogues, in_german
from actors.backends.builtin.capitals_german.training.names import german_answer

WEIGHTS = Path(resolve_source("builtin:capitals"))
EMBEDDINGS = Path(resolve_source("builtin:capitals-embeddings"))
GERMAN = Path(resolve_source("builtin:capitals-german"))
TEMPLATE_WITHOUT_TOOLS = (
    "{%- for message in messages -%}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"
)
"""The model's template before it knew of tools and thoughts: prompts without them are to stay as they were."""


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(WEIGHTS / "tokenizer.json"))


def test_resolve_source_names_the_shipped_folder() -> None:
    assert WEIGHTS.is_absolute()
    assert (WEIGHTS / "config.json").is_file()
    assert (EMBEDDINGS / "config.json").is_file()
    assert (GERMAN / "adapter_config.json").is_file()


@pytest.mark.parametrize("source", ["", "capitals", "org/model", "/models/builtin:capitals", "./folder"])
def test_resolve_source_keeps_any_other_source(source: str) -> None:
    assert resolve_source(source) == source


@pytest.mark.parametrize("source", ["builtin:", "builtin:Capitals", "builtin:capitals/weights", "builtin:../x"])
def test_resolve_source_refuses_an_unknown_name(source: str) -> None:
    with pytest.raises(ValueError, match="known names: capitals, capitals-embeddings, capitals-german"):
        resolve_source(source)


def test_the_table_is_large_and_consistent() -> None:
    assert len(CAPITALS) >= 60
    assert len(CAPITALS) == sum(len(group) for group in CONTINENTS.values())
    assert set(ALIASES.values()) <= set(CAPITALS)
    assert answer("France") == "Paris is the capital of France."
    assert answer("the UK") == "London is the capital of the United Kingdom."


def test_the_corpus_is_fixed_by_its_seed() -> None:
    assert list(training_dialogues(7, 50)) == list(training_dialogues(7, 50))
    assert list(training_dialogues(7, 50)) != list(training_dialogues(8, 50))
    assert list(held_out_chats(7, 20)) == list(held_out_chats(7, 20))
    assert list(held_out_calls(7, 20, turns=2)) == list(held_out_calls(7, 20, turns=2))
    assert list(held_out_refusals(7, 20)) == list(held_out_refusals(7, 20))
    assert list(texts.batches(7, 3, 20)) == list(texts.batches(7, 3, 20))
    assert german_dialogues(7, 20) == german_dialogues(7, 20)


def test_a_shorter_corpus_is_the_beginning_of_a_longer_one() -> None:
    assert list(islice(training_dialogues(1, 100), 10)) == list(training_dialogues(1, 10))


@pytest.mark.parametrize("unseen", [False, True])
def test_held_out_questions_are_never_trained_on(unseen: bool) -> None:
    trained = {(dialogue.system, turn.question) for dialogue in training_dialogues(0, 5000) for turn in dialogue.turns}
    held_out = {(item.system, item.turns[0].question) for item in held_out_dialogues(1, 500, unseen)}
    assert not trained & held_out


def test_unseen_templates_are_held_out_and_plain_questions_are_not() -> None:
    assert not set(wordings.UNSEEN_QUESTIONS) & {*wordings.QUESTIONS, *wordings.FOLLOW_UPS}
    assert Wording(None, "", wordings.UNSEEN_QUESTIONS[0], "{mark}", "lower").held_out
    assert not Wording(None, "", wordings.QUESTIONS[0], "{mark}", "as written").held_out


def test_the_corpus_teaches_calls_and_thoughts_and_what_is_held_out_is_not_in_it() -> None:
    trained = list(training_dialogues(0, 2000))
    assert not set(DESCRIPTIONS) & set(UNSEEN_DESCRIPTIONS)
    assert not {tool.description for dialogue in trained for tool in dialogue.tools} & set(UNSEEN_DESCRIPTIONS)
    for thinks in (False, True):
        alike = [dialogue for dialogue in trained if dialogue.thinks == thinks]
        assert {dialogue.ends_with_call for dialogue in alike} == {True, False}
        assert {bool(dialogue.tools) for dialogue in alike} == {True, False}
    for dialogue in trained:
        offered = GET_CAPITAL in {tool.name for tool in dialogue.tools}
        assert [turn.result is not None for turn in dialogue.turns] == [
            offered and turn.country is not None for turn in dialogue.turns
        ]


def test_a_dialogue_with_a_tool_as_the_model_reads_it() -> None:
    turn = Turn("Capital of Holland?", answer("Holland"), "?", "the Netherlands", '{"capital": "Amsterdam"}')
    tools = (Tool("get_capital", ("country",), "The capital."), Tool("get_time", (), ""))
    dialogue = Dialogue("Be kind.", (turn,), tools, thinks=True)
    assert "".join(text for text, _ in segments(dialogue)) == (
        "<|im_start|>tools\nget_capital(country): The capital.\nget_time(): \n<|im_end|>\n"
        "<|im_start|>system\nBe kind.<|im_end|>\n"
        "<|im_start|>user\nCapital of Holland?<|im_end|>\n"
        '<|im_start|>assistant\n<tool_call>\n{"name": "get_capital", "arguments": {"country": "Netherlands"}}\n'
        "</tool_call><|im_end|>\n"
        '<|im_start|>tool\n{"capital": "Amsterdam"}<|im_end|>\n'
        "<|im_start|>assistant\n<think>\nThe tool says Amsterdam.</think>"
        "Amsterdam is the capital of the Netherlands.<|im_end|>\n"
    )


def rendered(template: str, messages: list[dict[str, Any]], **variables: Any) -> str:
    """A prompt as vLLM renders it."""
    from transformers.utils.chat_template_utils import render_jinja_template

    [prompt], _ = render_jinja_template([messages], chat_template=template, add_generation_prompt=True, **variables)
    return str(prompt)


def test_the_template_renders_what_the_model_has_learnt(tokenizer: Tokenizer) -> None:
    assert (WEIGHTS / "chat_template.jinja").read_text() == CHAT_TEMPLATE
    for dialogue in training_dialogues(5, 200):
        chat, tools = request_messages(dialogue), request_tools(dialogue)
        prompt = rendered(CHAT_TEMPLATE, chat, tools=tools, enable_thinking=dialogue.thinks)
        assert prompt + expected(dialogue) + "\n" == "".join(text for text, _ in segments(dialogue))
        tokens, _ = encode(tokenizer, dialogue)
        assert tokens[: len(ids := tokenizer.encode(prompt).ids)] == ids


def test_prompts_without_tools_and_thoughts_are_what_they_were() -> None:
    for dialogue in (*held_out_chats(5, 50), *held_out_dialogues(5, 50, unseen=True)):
        chat = request_messages(dialogue)
        as_before = rendered(TEMPLATE_WITHOUT_TOOLS, chat)
        assert rendered(CHAT_TEMPLATE, chat) == as_before
        assert rendered(CHAT_TEMPLATE, chat, tools=[], enable_thinking=False) == as_before


def test_the_template_takes_what_clients_send() -> None:
    function: dict[str, Any] = {"name": "f", "arguments": {"town": "Asunción", "days": 2}}
    calls = [{"id": "1", "type": "function", "function": function}, {"function": {"name": "g", "arguments": "{}"}}]
    chat: list[dict[str, Any]] = [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": None, "reasoning": "Hm.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "1", "content": "x"},
    ]
    nested = {"type": "object", "properties": {"where": {"type": "object", "properties": {"town": {}}}, "days": {}}}
    tools = [
        {"type": "function", "function": {"name": "f", "description": "F.", "parameters": nested, "strict": True}},
        {"type": "function", "function": {"name": "g", "description": None, "parameters": None}},
        {"type": "function", "function": {"name": "h"}},
        {"type": "function", "function": {"name": "i", "parameters": {"type": "object"}}},
    ]
    assert rendered(CHAT_TEMPLATE, chat, tools=tools) == (
        "<|im_start|>tools\nf(where, days): F.\ng(): \nh(): \ni(): \n<|im_end|>\n"
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n?<|im_end|>\n<|im_start|>assistant\n"
        '<tool_call>\n{"name": "f", "arguments": {"town": "Asunción", "days": 2}}\n</tool_call>'
        '<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call><|im_end|>\n'
        "<|im_start|>tool\nx<|im_end|>\n<|im_start|>assistant\n"
    )


def test_german_answers_say_what_the_english_ones_say() -> None:
    assert german_answer("the UK") == "Die Hauptstadt des Vereinigten Königreichs ist London."
    assert len({german_answer(country) for country in CAPITALS}) == len(CAPITALS)
    for dialogue, translated in zip(held_out_chats(7, 50), in_german(held_out_chats(7, 50)), strict=True):
        assert [turn.question for turn in translated.turns] == [turn.question for turn in dialogue.turns]
        assert translated.turns[-1].answer == german_answer(str(dialogue.turns[-1].country))


def test_texts_of_a_pair_are_about_one_country_and_those_of_a_batch_about_different_ones() -> None:
    for batch in texts.batches(7, 5, 40):
        answers = [right for _, right in batch if right in texts.answers()]
        assert len(answers) == len(set(answers)) >= 10
    trained = {question for batch in texts.batches(0, 50, 60) for question, _ in batch}
    assert not trained & {question for question, _ in texts.held_out_questions(1, 500, unseen=True)}


@pytest.mark.parametrize(("folder", "mebibytes"), [(WEIGHTS, 4), (EMBEDDINGS, 2), (GERMAN, 1)])
def test_the_artefacts_are_small(folder: Path, mebibytes: int) -> None:
    assert sum(file.stat().st_size for file in folder.iterdir()) <= mebibytes * 2**20


def test_marks_of_thoughts_and_calls_are_tokens_that_are_part_of_the_text(tokenizer: Tokenizer) -> None:
    text = "".join(MARKS)
    assert len(tokenizer.encode(text).ids) == len(MARKS)
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=True) == text


def test_the_model_stops_at_the_end_of_its_answer(tokenizer: Tokenizer) -> None:
    for name in ("config.json", "generation_config.json"):
        settings = json.loads((WEIGHTS / name).read_text())
        assert settings["eos_token_id"] == tokenizer.token_to_id(END)


@pytest.mark.parametrize("text", ["", " a  b \n\t", "São Tomé", "日本の首都", "👩‍👩‍👧 🇫🇷", "\x00\x7f", "नमस्ते עברית"])
def test_the_tokenizer_keeps_any_text(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_the_labels_are_the_answers_alone(tokenizer: Tokenizer) -> None:
    for dialogue in training_dialogues(3, 20):
        tokens, labels = encode(tokenizer, dialogue)
        learnt = [label for label in labels if label != IGNORED]
        written = "".join(text for text, is_learnt in segments(dialogue) if is_learnt)
        assert len(tokens) == len(labels)
        assert tokenizer.decode(learnt, skip_special_tokens=False) == written
        assert written.count(END) == sum(message["role"] == "assistant" for message in request_messages(dialogue)) + 1


def test_a_long_answer_is_long_enough_to_stream(tokenizer: Tokenizer) -> None:
    for continent in ("Europe", "Asia", "Africa", "the Americas", None):
        assert 100 <= len(tokenizer.encode(long_answer(continent)).ids) <= 200
