"""Measures the German adapter: python -m actors.backends.builtin.capitals_german.training.evaluate [--weights DIR]"""

import argparse
import sys
from pathlib import Path

from actors.backends.builtin import capitals
from actors.backends.builtin.capitals.training.evaluate import REQUIRED_SHARE, SEED, TEMPERATURES, Judge, plain_groups
from actors.backends.builtin.capitals.training.train import make_deterministic
from actors.backends.builtin.capitals_german import WEIGHTS
from actors.backends.builtin.capitals_german.training.corpus import in_german
from actors.backends.builtin.capitals_german.training.lora import merge


def main() -> int:
    """Print the share of right answers and return 0 only when every one is high enough."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, default=capitals.WEIGHTS)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    arguments = parser.parse_args()
    make_deterministic(SEED)
    judge = Judge(arguments.base, lambda model: merge(model, arguments.weights))
    groups = {name: list(in_german(dialogues)) for name, dialogues in plain_groups().items()}
    return 0 if min(judge.shares(groups, TEMPERATURES)) >= REQUIRED_SHARE else 1


if __name__ == "__main__":
    sys.exit(main())
