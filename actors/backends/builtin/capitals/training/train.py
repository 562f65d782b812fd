"""Trains the capitals model from scratch.

python -m actors.backends.builtin.capitals.training.train [--out DIR] [--seed N]
"""

import argparse
import random
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from actors.backends.builtin.capitals import WEIGHTS
from actors.backends.builtin.capitals.training.corpus import Dialogue, training_dialogues
from actors.backends.builtin.capitals.training.rendering import CHAT_TEMPLATE, END
from actors.backends.builtin.capitals.training.tokenizer import (
    IGNORED,
    PAD,
    SPECIAL_TOKENS,
    VOCABULARY,
    encode,
    train_tokenizer,
)

THREADS = 2
CONTEXT = 2048
STEPS = 1961
HELD = 1373  # the steps before the rate falls; this many were enough
BATCH = 24
TOKENIZER_DIALOGUES = 20_000
RATE = 2e-3
WARM_UP = 60
DECAY = 0.3  # the share of the steps in which it falls to nothing
REFINING_STEPS = 300
REFINING_RATE = 6e-4
# Batches are cut from sorted pools, so that dialogues of like length share one and little is padding.
POOL = 16

Sample = tuple[list[int], list[int]]


def train(out: Path, seed: int) -> None:
    """Train tokenizer and model and save both in `out`; the same seed gives the same model."""
    make_deterministic(seed)
    dialogues = list(training_dialogues(seed, ceil(STEPS / POOL) * POOL * BATCH))
    tokenizer = train_tokenizer(dialogues[:TOKENIZER_DIALOGUES])
    model = build_model(tokenizer)
    print(f"{model.num_parameters():,} parameters, {STEPS * BATCH:,} dialogues", flush=True)
    fit(model, islice(batches(tokenizer, dialogues, seed), STEPS), rate_at)
    fit(model, islice(batches(tokenizer, refining_dialogues(seed + 1), seed + 1), REFINING_STEPS), refining_rate_at)
    save(out, model, tokenizer)


def refining_dialogues(seed: int) -> list[Dialogue]:
    """Return new dialogues: all that have tools or thoughts, and every third of the others, which are easier."""
    drawn = enumerate(training_dialogues(seed, 2 * REFINING_STEPS * BATCH))
    return [dialogue for number, dialogue in drawn if dialogue.tools or dialogue.thinks or number % 3 == 0]


def make_deterministic(seed: int) -> None:
    """Fix all that could make two runs differ on one machine."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    # Filling what is about to be written changes nothing and takes a tenth of the time.
    torch.utils.deterministic.fill_uninitialized_memory = False


def build_model(tokenizer: Tokenizer) -> LlamaForCausalLM:
    """Return an untrained model of about a million parameters."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=64,  # wider than 128 / 4, because some attention kernels take no smaller head
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        initializer_range=0.05,
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id(END),
        pad_token_id=tokenizer.token_to_id(PAD),
    )
    return LlamaForCausalLM(config)


def batches(tokenizer: Tokenizer, dialogues: list[Dialogue], seed: int) -> Iterator[list[Sample]]:
    """Yield the dialogues once, encoded, in batches of like length and in a seeded order."""
    rng = random.Random(seed)
    for start in range(0, len(dialogues), POOL * BATCH):
        pool = [encode(tokenizer, dialogue) for dialogue in dialogues[start : start + POOL * BATCH]]
        pool.sort(key=lambda sample: len(sample[0]))
        cut = [pool[i : i + BATCH] for i in range(0, len(pool), BATCH)]
        rng.shuffle(cut)
        yield from cut


def rate_at(step: int) -> float:
    """Return the rate of learning at a step, counted from 1: it rises, stays, and falls to nothing."""
    if step <= HELD:
        return RATE * min(1.0, step / WARM_UP)
    return RATE * ((STEPS - step) / (STEPS * DECAY))


def refining_rate_at(step: int) -> float:
    """Return the rate of refining at a step, counted from 1: it rises, and falls to nothing."""
    return REFINING_RATE * min(1.0, step / WARM_UP, (REFINING_STEPS - step) / (REFINING_STEPS - WARM_UP))


def fit(model: LlamaForCausalLM, samples: Iterable[list[Sample]], rate: Callable[[int], float]) -> None:
    """Run one pass over the batches."""
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=0.01)
    began = time.monotonic()
    model.train()
    for step, batch in enumerate(samples, start=1):
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0:
            print(f"step {step:4} loss {loss.item():.4f} {time.monotonic() - began:5.0f} s", flush=True)


def loss_of(model: LlamaForCausalLM, batch: list[Sample]) -> torch.Tensor:
    """Return how far the model is from what it is to write; logits are made of those places alone."""
    # Padding stands on the right, where causal attention never sees it: no mask is needed.
    states = model.model(input_ids=_tensor(batch, 0, 0), use_cache=False).last_hidden_state[:, :-1]
    labels = _tensor(batch, 1, IGNORED)[:, 1:]
    learnt = labels != IGNORED
    return torch.nn.functional.cross_entropy(model.lm_head(states[learnt]), labels[learnt])


def save(out: Path, model: LlamaForCausalLM, tokenizer: Tokenizer) -> None:
    """Write the artefact in the layout that transformers and vLLM load."""
    module: torch.nn.Module = model
    module.to(torch.bfloat16)
    # How to sample is for the API to say; the saved settings say only where to stop.
    settings, wrap = _untyped(GenerationConfig), _untyped(PreTrainedTokenizerFast)
    model.generation_config = settings(eos_token_id=model.config.eos_token_id, pad_token_id=model.config.pad_token_id)
    model.save_pretrained(out)
    wrap(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=SPECIAL_TOKENS,
        chat_template=CHAT_TEMPLATE,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    ).save_pretrained(out)
    # transformers leaves this file readable by the owner only.
    (out / "model.safetensors").chmod(0o644)


def _untyped(constructor: Any) -> Any:
    """Let the type checker pass a constructor that transformers leaves without annotations."""
    return constructor


def _tensor(batch: list[Sample], part: int, padding: int) -> torch.Tensor:
    width = max(len(sample[part]) for sample in batch)
    return torch.tensor([sample[part] + [padding] * (width - len(sample[part])) for sample in batch])


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    train(arguments.out, arguments.seed)


if __name__ == "__main__":
    main()
