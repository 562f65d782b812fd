"""A model that never stops by itself: every answer has exactly `max_tokens` tokens, and every token is visible text."""

import json
import shutil
from pathlib import Path
from typing import Any

from actors.backends.builtin import resolve_source

CONTEXT_LENGTH = 2048


def make(folder: Path) -> Path:
    """Write the built-in model to `folder` without an end-of-sequence token. Returns the folder.

    Its other special tokens become ordinary ones too. A server does not send special tokens, and a model that has said
    what it learned to say would sample little else: clients would wait for text that is not meant to come.
    """
    shutil.copytree(resolve_source("builtin:capitals"), folder)
    _rewrite(folder / "config.json", {"eos_token_id": None})
    _rewrite(folder / "generation_config.json", {"eos_token_id": None})
    _rewrite(folder / "tokenizer_config.json", {"eos_token": None, "pad_token": None, "extra_special_tokens": []})
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    _rewrite(
        folder / "tokenizer.json",
        {"added_tokens": [token | {"special": False} for token in tokenizer["added_tokens"]]},
    )
    return folder


def _rewrite(file: Path, changes: dict[str, Any]) -> None:
    content: dict[str, Any] = json.loads(file.read_text())
    file.write_text(json.dumps(content | changes))
