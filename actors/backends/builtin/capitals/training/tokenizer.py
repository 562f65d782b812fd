"""The tokenizer of the capitals model: byte-level BPE, with tokens of their own for the marks of a chat."""

import re
from collections.abc import Iterable, Iterator

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from actors.backends.builtin.capitals.training.corpus import Dialogue
from actors.backends.builtin.capitals.training.rendering import CALL, CALLED, END, START, THINK, THOUGHT, segments

VOCABULARY = 1024
PAD = "<|endoftext|>"
SPECIAL_TOKENS = [PAD, START, END]
MARKS = [THINK, THOUGHT, CALL, CALLED]
"""Tokens by which parsers and grammars know thoughts and calls. They are part of what is written, so not special."""
IGNORED = -100


def train_tokenizer(dialogues: Iterable[Dialogue]) -> Tokenizer:
    """Train the tokenizer; it knows every byte, so any text survives encoding and decoding."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(MARKS),
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(dialogues), trainer)
    tokenizer.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in MARKS])
    return tokenizer


def encode(tokenizer: Tokenizer, dialogue: Dialogue) -> tuple[list[int], list[int]]:
    """Return the tokens of a dialogue, as the chat template renders it, and the labels to learn.

    Only what the assistant says, with the token that ends it, is to be learnt.
    """
    tokens: list[int] = []
    labels: list[int] = []
    for text, learnt in segments(dialogue):
        piece = tokenizer.encode(text).ids
        tokens += piece
        labels += piece if learnt else [IGNORED] * len(piece)
    return tokens, labels


def _texts(dialogues: Iterable[Dialogue]) -> Iterator[str]:
    marks = re.compile("|".join(map(re.escape, [*SPECIAL_TOKENS, *MARKS])))
    for dialogue in dialogues:
        yield from marks.split("".join(text for text, _ in segments(dialogue)))
