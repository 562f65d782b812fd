"""A tiny model that sees: the built-in one, and before it eyes with weights drawn by chance.

What it says of a picture means nothing. It says something else of another picture, and the same of the same one.
"""

import json
from pathlib import Path
from typing import Any

from actors.backends.builtin import resolve_source

CAPITALS = Path(resolve_source("builtin:capitals"))
TILE = 32
"""A picture is seen as a whole and in tiles, of so many pixels a side each."""

_PATCH = 8
_TILE_TOKENS = (TILE // _PATCH) ** 2 // 4
_PLACES = tuple(f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2))
_SIGNS = ("<fake_token_around_image>", "<global-img>", "<end_of_utterance>", *_PLACES, "<image>")
"""What its tokenizer knows beside the built-in model's words; the last one stands for a piece of a picture."""

PICTURE_TOKENS = 34
"""How many more tokens a prompt has for each picture that is less than twice as wide as high, or as high as wide."""

_TEMPLATE = (
    "{%- for message in messages -%}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{%- if message['content'] is string -%}{{ message['content'] }}{%- else -%}"
    "{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'image' -%}{{ '<image>' }}{%- else -%}{{ part['text'] }}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}{{ '<|im_end|>\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)


def seeing_model(folder: Path) -> Path:
    """An Idefics3 that sees every picture as a whole, and its quarters."""
    import torch
    from transformers import AutoTokenizer, Idefics3ForConditionalGeneration

    tokenizer = AutoTokenizer.from_pretrained(CAPITALS)
    tokenizer.add_special_tokens({"additional_special_tokens": list(_SIGNS)})
    torch.manual_seed(7)
    model = Idefics3ForConditionalGeneration(_config(len(tokenizer))).eval()
    _learn_to_speak(model)
    model.save_pretrained(folder)
    _save_processor(folder, tokenizer)
    (folder / "generation_config.json").write_bytes((CAPITALS / "generation_config.json").read_bytes())
    return folder


def _config(vocabulary: int) -> Any:
    from transformers import Idefics3Config, Idefics3VisionConfig, LlamaConfig

    text = json.loads((CAPITALS / "config.json").read_text()) | {"dtype": "float32", "vocab_size": vocabulary}
    eyes = Idefics3VisionConfig(
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=1,
        image_size=TILE,
        patch_size=_PATCH,
        initializer_range=0.5,
    )
    return Idefics3Config(
        vision_config=eyes,
        text_config=LlamaConfig(**text),
        image_token_id=vocabulary - 1,
        scale_factor=2,
        tie_word_embeddings=True,
        dtype="float32",
    )


def _learn_to_speak(model: Any) -> None:
    """The language is the built-in model's; what it sees is as loud as its words."""
    import torch
    from transformers import AutoModelForCausalLM

    speaker = AutoModelForCausalLM.from_pretrained(CAPITALS, dtype=torch.float32)
    speaker.resize_token_embeddings(model.config.text_config.vocab_size, mean_resizing=False)
    model.model.text_model.load_state_dict(speaker.model.state_dict())
    model.tie_weights()
    torch.nn.init.normal_(model.model.connector.modality_projection.proj.weight, std=0.5)


def _save_processor(folder: Path, tokenizer: Any) -> None:
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
    from transformers.models.idefics3.processing_idefics3 import Idefics3Processor

    seeing = Idefics3ImageProcessorPil(size={"longest_edge": 2 * TILE}, max_image_size={"longest_edge": TILE})
    processor = Idefics3Processor(seeing, tokenizer, image_seq_len=_TILE_TOKENS, chat_template=_TEMPLATE)
    processor.save_pretrained(folder)
