"""Measures the capitals model: python -m actors.backends.builtin.capitals.training.evaluate [--weights DIR]"""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, AutoTokenizer

from actors.backends.builtin.capitals import WEIGHTS
from actors.backends.builtin.capitals.training.corpus import (
    Dialogue,
    held_out_calls,
    held_out_chats,
    held_out_dialogues,
    held_out_refusals,
)
from actors.backends.builtin.capitals.training.rendering import expected, request_messages, request_tools
from actors.backends.builtin.capitals.training.train import make_deterministic

REQUIRED_SHARE = 0.95
TEMPERATURES = (0.0, 0.7)  # greedy, and the default of the API
SAMPLES = 320
BATCH = 64
SEED = 20_000  # far from the seeds one would train with
MAX_NEW_TOKENS = 80


def plain_groups() -> dict[str, list[Dialogue]]:
    """Return held-out dialogues without tools and thoughts, by what is new in them."""
    return {
        "new combinations": list(held_out_dialogues(SEED, SAMPLES, unseen=False)),
        "unseen wordings": list(held_out_dialogues(SEED + 1, SAMPLES, unseen=True)),
        "later turns": list(held_out_chats(SEED + 2, SAMPLES)),
    }


def groups() -> dict[str, list[Dialogue]]:
    """Return all held-out dialogues, by what is new in them or by what the model is to do at their end."""
    plain = plain_groups()
    tools = {
        "calls": list(held_out_calls(SEED + 3, SAMPLES, turns=1)),
        "later calls": list(held_out_calls(SEED + 4, SAMPLES, turns=2)),
        "answers from results": _answered(held_out_calls(SEED + 5, SAMPLES, turns=1)),
        "later answers from results": _answered(held_out_calls(SEED + 6, SAMPLES, turns=2)),
        "nothing to call": list(held_out_refusals(SEED + 7, SAMPLES)),
    }
    thinking = {
        "thinking": _thinking([*plain["new combinations"], *plain["unseen wordings"]]),
        "thinking before calls": _thinking(tools["calls"]),
        "thinking about results": _thinking(tools["answers from results"]),
    }
    return plain | tools | thinking


def _answered(calls: Iterable[Dialogue]) -> list[Dialogue]:
    return [replace(dialogue, ends_with_call=False) for dialogue in calls]


def _thinking(dialogues: Sequence[Dialogue]) -> list[Dialogue]:
    """Every other one, to save time."""
    return [replace(dialogue, thinks=True) for dialogue in dialogues[::2]]


class Judge:
    """Asks a model and counts the answers that are right to the letter and end there."""

    def __init__(self, weights: Path, change: Callable[[Any], None] | None = None) -> None:
        """Load tokenizer and model as they would be served; `change` may do something to the model."""
        self._tokenizer: Any = AutoTokenizer.from_pretrained(weights, padding_side="left")
        self._model: Any = AutoModelForCausalLM.from_pretrained(weights, dtype="auto")
        if change is not None:
            change(self._model)

    def shares(self, groups: Mapping[str, Sequence[Dialogue]], temperatures: Sequence[float]) -> list[float]:
        """Return the share of right answers of every group at every temperature, and print each when it is known."""
        shares = []
        for name, dialogues in groups.items():
            for temperature in temperatures:
                shares.append(self.share_right(dialogues, temperature))
                print(f"{name:26} temperature {temperature}: {shares[-1]:6.1%} of {len(dialogues)}", flush=True)
        return shares

    def share_right(self, dialogues: Sequence[Dialogue], temperature: float) -> float:
        """Return the share of dialogues whose last question is answered exactly."""
        ordered = sorted(dialogues, key=lambda dialogue: len(str(dialogue)))
        right = 0
        for start in range(0, len(ordered), BATCH):
            batch = ordered[start : start + BATCH]
            replies = self.replies(batch, temperature)
            right += sum(reply == expected(item) for reply, item in zip(replies, batch, strict=True))
        return right / len(ordered)

    def replies(self, dialogues: Sequence[Dialogue], temperature: float) -> list[str]:
        """Return what the model says, with the token that ends it; temperature 0 is greedy."""
        prompts = self._tokenizer([self._prompt(dialogue) for dialogue in dialogues], padding=True, return_tensors="pt")
        sampling = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {}
        output = self._model.generate(**prompts, max_new_tokens=MAX_NEW_TOKENS, **sampling)
        texts = self._tokenizer.batch_decode(output[:, prompts["input_ids"].shape[1] :])
        return [text.replace(str(self._tokenizer.pad_token), "") for text in texts]

    def _prompt(self, dialogue: Dialogue) -> str:
        prompt: str = self._tokenizer.apply_chat_template(
            request_messages(dialogue),
            tools=request_tools(dialogue),
            enable_thinking=dialogue.thinks,
            add_generation_prompt=True,
            tokenize=False,
        )
        return prompt


def main() -> int:
    """Print the share of right answers and return 0 only when every one is high enough."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    judge = Judge(parser.parse_args().weights)
    make_deterministic(SEED)
    return 0 if min(judge.shares(groups(), TEMPERATURES)) >= REQUIRED_SHARE else 1


if __name__ == "__main__":
    sys.exit(main())
