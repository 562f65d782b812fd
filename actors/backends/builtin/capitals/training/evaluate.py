"""Measures the capitals model: python -m actors.backends.builtin.capitals.training.evaluate [--weights DIR]"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, AutoTokenizer

from actors.backends.builtin.capitals import WEIGHTS
from actors.backends.builtin.capitals.training.corpus import Dialogue, held_out_chats, held_out_dialogues
from actors.backends.builtin.capitals.training.train import make_deterministic

REQUIRED_SHARE = 0.95
TEMPERATURES = (0.0, 0.7)  # greedy, and the default of the API
SAMPLES = 320
BATCH = 64
SEED = 20_000  # far from the seeds one would train with
MAX_NEW_TOKENS = 48


def groups() -> dict[str, list[Dialogue]]:
    """Return the held-out dialogues by what is new in them."""
    return {
        "new combinations": list(held_out_dialogues(SEED, SAMPLES, unseen=False)),
        "unseen wordings": list(held_out_dialogues(SEED + 1, SAMPLES, unseen=True)),
        "later turns": list(held_out_chats(SEED + 2, SAMPLES)),
    }


def messages(dialogue: Dialogue) -> list[dict[str, str]]:
    """Return the chat up to the last question, as an API request would carry it."""
    chat = [{"role": "system", "content": dialogue.system}] if dialogue.system is not None else []
    for turn in dialogue.turns:
        chat.append({"role": "user", "content": turn.question})
        chat.append({"role": "assistant", "content": turn.answer})
    return chat[:-1]


class Judge:
    """Asks a saved model and counts the answers that are right to the letter and end there."""

    def __init__(self, weights: Path) -> None:
        """Load tokenizer and model as they would be served."""
        self._tokenizer: Any = AutoTokenizer.from_pretrained(weights, padding_side="left")
        self._model: Any = AutoModelForCausalLM.from_pretrained(weights, dtype="auto")

    def share_right(self, dialogues: Sequence[Dialogue], temperature: float) -> float:
        """Return the share of dialogues whose last question is answered exactly."""
        ordered = sorted(dialogues, key=lambda dialogue: len(str(dialogue)))
        right = 0
        for start in range(0, len(ordered), BATCH):
            batch = ordered[start : start + BATCH]
            replies = self.replies(batch, temperature)
            right += sum(reply == self._expected(item) for reply, item in zip(replies, batch, strict=True))
        return right / len(ordered)

    def replies(self, dialogues: Sequence[Dialogue], temperature: float) -> list[str]:
        """Return what the model says, with the token that ends it; temperature 0 is greedy."""
        prompts = self._tokenizer.apply_chat_template(
            [messages(dialogue) for dialogue in dialogues],
            add_generation_prompt=True,
            padding=True,
            return_tensors="pt",
            return_dict=True,
        )
        sampling = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {}
        output = self._model.generate(**prompts, max_new_tokens=MAX_NEW_TOKENS, **sampling)
        texts = self._tokenizer.batch_decode(output[:, prompts["input_ids"].shape[1] :])
        return [text.replace(str(self._tokenizer.pad_token), "") for text in texts]

    def _expected(self, dialogue: Dialogue) -> str:
        return dialogue.turns[-1].answer + str(self._tokenizer.eos_token)


def main() -> int:
    """Print the share of right answers and return 0 only when every one is high enough."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    judge = Judge(parser.parse_args().weights)
    make_deterministic(SEED)
    shares = []
    for name, dialogues in groups().items():
        for temperature in TEMPERATURES:
            shares.append(judge.share_right(dialogues, temperature))
            print(f"{name:16} temperature {temperature}: {shares[-1]:6.1%} of {len(dialogues)}", flush=True)
    return 0 if min(shares) >= REQUIRED_SHARE else 1


if __name__ == "__main__":
    sys.exit(main())
