"""Trains the embedding model from scratch.

python -m actors.backends.builtin.capitals_embeddings.training.train [--out DIR] [--seed N]
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from actors.backends.builtin.capitals.training.train import make_deterministic
from actors.backends.builtin.capitals_embeddings import WEIGHTS
from actors.backends.builtin.capitals_embeddings.training.texts import Pair, batches
from actors.backends.builtin.capitals_embeddings.training.tokenizer import FIRST, LAST, PAD, UNKNOWN, train_tokenizer

CONTEXT = 256
STEPS = 400
BATCH = 64
PEAK_RATE = 2e-3
WARM_UP = 40
SHARPNESS = 20.0  # what likenesses, which are cosines, are multiplied with before they are compared


def train(out: Path, seed: int) -> None:
    """Train tokenizer and model and save both in `out`; the same seed gives the same model."""
    make_deterministic(seed)
    corpus = list(batches(seed, STEPS, BATCH))
    tokenizer = train_tokenizer(text for batch in corpus for pair in batch for text in pair)
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id(PAD), pad_token=PAD)
    model = build_model(tokenizer)
    print(f"{model.num_parameters():,} parameters", flush=True)
    fit(model, tokenizer, corpus)
    save(out, model, tokenizer)


def build_model(tokenizer: Tokenizer) -> BertModel:
    """Return an untrained model of about half a million parameters."""
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=CONTEXT,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.05,
        pad_token_id=tokenizer.token_to_id(PAD),
    )
    return BertModel(config, add_pooling_layer=False)


def fit(model: BertModel, tokenizer: Tokenizer, corpus: Sequence[list[Pair]]) -> None:
    """Draw the two texts of a country together, and those of different countries apart."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK_RATE, total_steps=len(corpus), pct_start=WARM_UP / len(corpus)
    )
    began = time.monotonic()
    model.train()
    for step, batch in enumerate(corpus, start=1):
        left, right = (vectors(model, tokenizer, texts) for texts in zip(*batch, strict=True))
        loss = disagreement(left @ right.T)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 50 == 0:
            print(f"step {step:4} loss {loss.item():.4f} {time.monotonic() - began:5.0f} s", flush=True)


def vectors(model: BertModel, tokenizer: Tokenizer, texts: Sequence[str]) -> torch.Tensor:
    """Return the texts' vectors, of length one: the state of the first token, as vLLM makes them."""
    encoded = tokenizer.encode_batch(list(texts))
    states = model(
        input_ids=torch.tensor([item.ids for item in encoded]),
        attention_mask=torch.tensor([item.attention_mask for item in encoded]),
    ).last_hidden_state
    return torch.nn.functional.normalize(states[:, 0], dim=-1)


def disagreement(likeness: torch.Tensor) -> torch.Tensor:
    """Return the InfoNCE loss of likenesses whose diagonal ought to be the largest of its row and its column."""
    own = torch.arange(len(likeness))
    entropy = torch.nn.functional.cross_entropy
    return (entropy(likeness * SHARPNESS, own) + entropy(likeness.T * SHARPNESS, own)) / 2


def save(out: Path, model: BertModel, tokenizer: Tokenizer) -> None:
    """Write the artefact in the layout that transformers and vLLM load."""
    module: torch.nn.Module = model
    module.to(torch.bfloat16)
    model.save_pretrained(out)
    tokenizer.no_padding()
    wrap: Any = PreTrainedTokenizerFast  # without annotations in transformers
    wrap(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNKNOWN,
        cls_token=FIRST,
        sep_token=LAST,
        model_max_length=CONTEXT,
    ).save_pretrained(out)
    # transformers leaves this file readable by the owner only.
    (out / "model.safetensors").chmod(0o644)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    train(arguments.out, arguments.seed)


if __name__ == "__main__":
    main()
