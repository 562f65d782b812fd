"""The tokenizer of the capitals model: byte-level BPE with a ChatML-like chat template."""

from collections.abc import Iterable, Iterator

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from actors.backends.builtin.capitals.training.corpus import Dialogue

VOCABULARY = 1024
PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL_TOKENS = [PAD, START, END]
IGNORED = -100
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    f"{{{{ '{START}' + message['role'] + '\\n' + message['content'] + '{END}\\n' }}}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}"
    f"{{{{ '{START}assistant\\n' }}}}"
    "{%- endif -%}"
)


def train_tokenizer(dialogues: Iterable[Dialogue]) -> Tokenizer:
    """Train the tokenizer; it knows every byte, so any text survives encoding and decoding."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(dialogues), trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, dialogue: Dialogue) -> tuple[list[int], list[int]]:
    """Return the tokens of a dialogue, as the chat template renders it, and the labels to learn.

    Only what the assistant says, with the token that ends it, is to be learnt.
    """
    tokens: list[int] = []
    labels: list[int] = []
    for text, learnt in _segments(dialogue):
        piece = tokenizer.encode(text).ids
        tokens += piece
        labels += piece if learnt else [IGNORED] * len(piece)
    return tokens, labels


def _segments(dialogue: Dialogue) -> Iterator[tuple[str, bool]]:
    if dialogue.system is not None:
        yield f"{START}system\n{dialogue.system}{END}\n", False
    for turn in dialogue.turns:
        yield f"{START}user\n{turn.question}{END}\n", False
        yield f"{START}assistant\n", False
        yield f"{turn.answer}{END}", True
        yield "\n", False


def _texts(dialogues: Iterable[Dialogue]) -> Iterator[str]:
    for dialogue in dialogues:
        yield f"system\n{dialogue.system or ''}"
        for turn in dialogue.turns:
            yield f"user\n{turn.question}"
            yield f"assistant\n{turn.answer}"
