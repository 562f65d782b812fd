"""Measures the embedding model.

python -m actors.backends.builtin.capitals_embeddings.training.evaluate [--weights DIR]
"""

import argparse
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import BertModel

from actors.backends.builtin.capitals.training.train import make_deterministic
from actors.backends.builtin.capitals_embeddings import WEIGHTS
from actors.backends.builtin.capitals_embeddings.training.texts import Pair, answers, held_out_questions
from actors.backends.builtin.capitals_embeddings.training.tokenizer import PAD
from actors.backends.builtin.capitals_embeddings.training.train import vectors

REQUIRED_SHARE = 0.95
SAMPLES = 640
SEED = 20_000  # far from the seeds one would train with


class Judge:
    """Asks a saved model which of all answers is nearest to a question."""

    def __init__(self, weights: Path) -> None:
        """Load tokenizer and model as they would be served."""
        self._tokenizer = Tokenizer.from_file(str(weights / "tokenizer.json"))
        self._tokenizer.enable_padding(pad_id=self._tokenizer.token_to_id(PAD), pad_token=PAD)
        self._model = BertModel.from_pretrained(weights, dtype="auto", add_pooling_layer=False)

    def share_found(self, questions: list[Pair]) -> float:
        """Return the share of questions whose own answer is the nearest."""
        known = answers()
        with torch.no_grad():
            asked = vectors(self._model, self._tokenizer, [question for question, _ in questions])
            nearest: list[int] = (asked @ vectors(self._model, self._tokenizer, known).T).argmax(dim=1).tolist()
        found = sum(known[place] == own for place, (_, own) in zip(nearest, questions, strict=True))
        return found / len(questions)


def main() -> int:
    """Print the share of answers that are found and return 0 only when it is high enough."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    judge = Judge(parser.parse_args().weights)
    make_deterministic(SEED)
    shares = []
    for name, unseen in (("new combinations", False), ("unseen wordings", True)):
        shares.append(judge.share_found(held_out_questions(SEED + unseen, SAMPLES, unseen)))
        print(f"{name:16}: {shares[-1]:6.1%} of {SAMPLES}", flush=True)
    return 0 if min(shares) >= REQUIRED_SHARE else 1


if __name__ == "__main__":
    sys.exit(main())
