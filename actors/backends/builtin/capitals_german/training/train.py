"""Trains the German adapter on the weights of the capitals model as they are shipped.

python -m actors.backends.builtin.capitals_german.training.train [--base DIR] [--out DIR] [--seed N]
"""

import argparse
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from actors.backends.builtin import capitals
from actors.backends.builtin.capitals.training.train import BATCH, batches, fit, make_deterministic
from actors.backends.builtin.capitals_german import WEIGHTS
from actors.backends.builtin.capitals_german.training.corpus import german_dialogues
from actors.backends.builtin.capitals_german.training.lora import adapt, save

STEPS = 1200
RATE = 4e-3
WARM_UP = 30


def train(base: Path, out: Path, seed: int) -> None:
    """Train the adapter of the model in `base` and save it in `out`; the same seed gives the same adapter."""
    make_deterministic(seed)
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    model = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32)
    adapt(model)
    fit(model, batches(tokenizer, german_dialogues(seed, STEPS * BATCH), seed), rate_at)
    save(out, model)


def rate_at(step: int) -> float:
    """Return the rate of learning at a step, counted from 1: it rises, and falls to nothing."""
    return RATE * min(step / WARM_UP, (STEPS - step) / (STEPS - WARM_UP))


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, default=capitals.WEIGHTS)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    train(arguments.base, arguments.out, arguments.seed)


if __name__ == "__main__":
    main()
