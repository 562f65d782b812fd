"""The built-in model: its corpus, its artefact and how it is named. Nothing here loads the model."""

import json
from itertools import islice
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from actors.backends.builtin import resolve_source
from actors.backends.builtin.capitals.training import wordings
from actors.backends.builtin.capitals.training.corpus import (
    Wording,
    held_out_chats,
    held_out_dialogues,
    long_answer,
    training_dialogues,
)
from actors.backends.builtin.capitals.training.countries import ALIASES, CAPITALS, CONTINENTS, answer
from actors.backends.builtin.capitals.training.tokenizer import END, IGNORED, encode

WEIGHTS = Path(resolve_source("builtin:capitals"))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(WEIGHTS / "tokenizer.json"))


def test_resolve_source_names_the_shipped_folder() -> None:
    assert WEIGHTS.is_absolute()
    assert (WEIGHTS / "config.json").is_file()


@pytest.mark.parametrize("source", ["", "capitals", "org/model", "/models/builtin:capitals", "./folder"])
def test_resolve_source_keeps_any_other_source(source: str) -> None:
    assert resolve_source(source) == source


@pytest.mark.parametrize("source", ["builtin:", "builtin:Capitals", "builtin:capitals/weights", "builtin:../x"])
def test_resolve_source_refuses_an_unknown_name(source: str) -> None:
    with pytest.raises(ValueError, match="known names: capitals"):
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


def test_the_artefact_is_small() -> None:
    assert sum(file.stat().st_size for file in WEIGHTS.iterdir()) <= 4 * 2**20


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
        expected = "".join(turn.answer + END for turn in dialogue.turns)
        assert len(tokens) == len(labels)
        assert tokenizer.decode(learnt, skip_special_tokens=False) == expected


def test_a_long_answer_is_long_enough_to_stream(tokenizer: Tokenizer) -> None:
    for continent in ("Europe", "Asia", "Africa", "the Americas", None):
        assert 100 <= len(tokenizer.encode(long_answer(continent)).ids) <= 200
