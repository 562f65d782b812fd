"""Tiny pooling models with weights drawn by chance: what they answer means nothing, and is always the same."""

import string
from pathlib import Path
from typing import Any

MOST_TOKENS = 64
DIMENSIONS = 64
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def embedding_model(folder: Path) -> Path:
    """A BERT that makes embeddings of texts of letters."""
    from transformers import BertModel

    return _saved(folder, BertModel)


def scoring_model(folder: Path) -> Path:
    """A BERT that scores pairs of texts."""
    from transformers import BertForSequenceClassification

    return _saved(folder, BertForSequenceClassification)


def _saved(folder: Path, kind: Any) -> Path:
    import torch
    from transformers import BertConfig

    vocabulary = [*_SPECIAL, *string.ascii_lowercase, *(f"##{letter}" for letter in string.ascii_lowercase)]
    _tokenizer(vocabulary).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=DIMENSIONS,
        num_hidden_layers=2,
        num_attention_heads=1,
        intermediate_size=64,
        max_position_embeddings=MOST_TOKENS,
        num_labels=1,
        initializer_range=0.5,
    )
    torch.manual_seed(7)
    kind(config).eval().save_pretrained(folder)
    return folder


def _tokenizer(vocabulary: list[str]) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordPiece({word: number for number, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=MOST_TOKENS,
    )
