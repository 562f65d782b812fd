"""A tiny model that hears, with weights drawn by chance: what it says means nothing, and is always the same."""

import wave
from io import BytesIO
from math import pi, sin
from pathlib import Path
from struct import pack
from typing import Any

from actors.backends.builtin import resolve_source

CAPITALS = Path(resolve_source("builtin:capitals"))
RATE_HZ = 16_000
_SIGNS = ("<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>")
_TEMPLATE = (
    "{%- for message in messages -%}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{%- if message['content'] is string -%}{{ message['content'] }}{%- else -%}"
    "{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'audio' -%}{{ '<|audio_bos|><|AUDIO|><|audio_eos|>' }}"
    "{%- else -%}{{ part['text'] }}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}{{ '<|im_end|>\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)


def tone(hertz: float, seconds: float = 0.5) -> bytes:
    """A WAV file of this tone."""
    samples = [round(20_000 * sin(2 * pi * hertz * number / RATE_HZ)) for number in range(round(RATE_HZ * seconds))]
    buffer = BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(pack(f"<{len(samples)}h", *samples))
    return buffer.getvalue()


def hearing_model(folder: Path) -> Path:
    """A Qwen2-Audio that makes 25 tokens of every second."""
    import torch
    from transformers import AutoTokenizer, Qwen2AudioForConditionalGeneration

    tokenizer = AutoTokenizer.from_pretrained(CAPITALS)
    tokenizer.add_special_tokens({"additional_special_tokens": list(_SIGNS)})
    torch.manual_seed(7)
    Qwen2AudioForConditionalGeneration(_config(tokenizer)).eval().save_pretrained(folder)
    _save_processor(folder, tokenizer)
    (folder / "generation_config.json").write_bytes((CAPITALS / "generation_config.json").read_bytes())
    return folder


def _config(tokenizer: Any) -> Any:
    from transformers import Qwen2AudioConfig, Qwen2AudioEncoderConfig, Qwen2Config

    ears = Qwen2AudioEncoderConfig(
        d_model=64,
        encoder_layers=1,
        encoder_attention_heads=1,
        encoder_ffn_dim=64,
        num_mel_bins=80,
        initializer_range=0.5,
    )
    voice = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        initializer_range=0.2,
        eos_token_id=2,
        pad_token_id=0,
    )
    return Qwen2AudioConfig(
        audio_config=ears,
        text_config=voice,
        audio_token_index=tokenizer.convert_tokens_to_ids(_SIGNS[0]),
        initializer_range=0.5,
        dtype="float32",
    )


def _save_processor(folder: Path, tokenizer: Any) -> None:
    from transformers import Qwen2AudioProcessor, WhisperFeatureExtractor

    hearing = WhisperFeatureExtractor(feature_size=80, sampling_rate=RATE_HZ)
    Qwen2AudioProcessor(hearing, tokenizer, chat_template=_TEMPLATE).save_pretrained(folder)
