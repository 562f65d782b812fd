"""Tokenizers of models on disk, loaded as the door loads them: the tokens are those of `transformers`.

`AutoTokenizer` is what vLLM loads them with; importing it takes five seconds.
"""

import asyncio
import json
import shutil
import subprocess
import sys
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from actors.backends.builtin import resolve_source
from actors.backends.prompts import export
from actors.backends.prompts.counter import MOST_IDS, Prompt, PromptCounter
from actors.backends.prompts.encoder import PromptEncoder
from actors.backends.prompts.loader import NotLoaded, load_tokenizer
from cluster.catalogue import CAPITALS, Model
from cluster.messages.work import ChatMessage
from cluster.prefixes.chain import chain

transformers = pytest.importorskip("transformers")

PATIENCE_S = 120.0
WEIGHTS = Path(resolve_source(CAPITALS.source))

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)

DIALOGUES = [
    (ChatMessage("user", "Hello"),),
    (ChatMessage("system", "Be brief. "), ChatMessage("user", "  What?\n\n"), ChatMessage("assistant", "That.")),
    (ChatMessage("user", "naïve 日本語 🦊👩‍🚀\u0301 \x07 </s><s> < s >[user]"),),
    (ChatMessage("user", ""),),
    (ChatMessage("user", "What is the capital of Brazil? " * 5_000),),
]


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    # Not those below them: the system that other tests share starts processes when it likes.
    before = set(psutil.Process().children())
    yield
    assert set(psutil.Process().children()) <= before


def byte_level() -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return trained(made, trainers.BpeTrainer, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))


def sentencepiece_like() -> Tokenizer:
    made = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return trained(made, trainers.BpeTrainer)


def unigram() -> Tokenizer:
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    return trained(made, trainers.UnigramTrainer, unk_token="<unk>")


def trained(made: Tokenizer, trainer: Any, **options: Any) -> Tokenizer:
    special = ["<s>", "</s>", "<unk>"]
    made.train_from_iterator(
        [Path(__file__).read_text("utf-8")],
        trainer(vocab_size=400, special_tokens=special, show_progress=False, **options),
    )
    return made


def folder(path: Path, tokenizer: Tokenizer, config: dict[str, Any], **model_config: Any) -> Path:
    """A model without weights, as the hub has them."""
    path.mkdir()
    tokenizer.save(str(path / "tokenizer.json"))
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (path / "tokenizer_config.json").write_text(json.dumps({"chat_template": CHAT_TEMPLATE} | special | config))
    (path / "config.json").write_text(json.dumps({"model_type": "llama"} | model_config))
    return path


async def encoded(model: Model) -> list[Prompt]:
    counting = PromptCounter([model], patience_s=PATIENCE_S)
    await counting.start()
    try:
        return [await counting.count(model, messages) for messages in DIALOGUES]
    finally:
        await counting.stop()


def expected(source: Path, model: Model = CAPITALS) -> list[Prompt]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    made = [
        tokenizer.apply_chat_template(
            [{"role": message.role, "content": message.content} for message in messages],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=False,
        )
        for messages in DIALOGUES
    ]
    return [Prompt(len(ids), tuple(ids) if len(ids) <= MOST_IDS else (), beginnings(ids, model)) for ids in made]


def beginnings(ids: Sequence[int], model: Model) -> bytes:
    """The hashes of a prompt of these tokens: which they are, is what engines that have had it are known by."""
    tokens = array("I", ids)
    return chain(tokens.tobytes(), model.prefix_tokens * tokens.itemsize)


def test_the_built_in_model() -> None:
    assert asyncio.run(encoded(CAPITALS)) == expected(WEIGHTS)


@pytest.mark.parametrize(
    ("make", "config"),
    [
        (byte_level, {"tokenizer_class": "PreTrainedTokenizerFast"}),
        (byte_level, {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True}),
        (byte_level, {"tokenizer_class": "Qwen2Tokenizer"}),
        (byte_level, {"tokenizer_class": "PreTrainedTokenizerFast", "split_special_tokens": True}),
        (sentencepiece_like, {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "legacy": False}),
        (sentencepiece_like, {"tokenizer_class": "LlamaTokenizerFast", "legacy": True}),
        (unigram, {"tokenizer_class": "PreTrainedTokenizerFast"}),
        (
            byte_level,
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "chat_template": [
                    {"name": "tool_use", "template": "{{ raise_exception('not this one') }}"},
                    {"name": "default", "template": CHAT_TEMPLATE},
                ],
            },
        ),
    ],
    ids=["plain", "gpt2", "qwen2", "split", "llama", "llama legacy", "unigram", "several templates"],
)
def test_the_classes_of_tokenizers(make: Any, config: dict[str, Any], tmp_path: Path) -> None:
    """Some of these classes do not use `tokenizer.json` as it is."""
    source = folder(tmp_path / "model", make(), config)
    model = Model("x", source=str(source))
    assert asyncio.run(encoded(model)) == expected(source, model)


def test_a_tokenizer_that_would_cut_or_fill_prompts(tmp_path: Path) -> None:
    tokenizer = byte_level()
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=64, pad_token="</s>")
    source = folder(tmp_path / "model", tokenizer, {"tokenizer_class": "PreTrainedTokenizerFast"})
    model = Model("x", source=str(source))
    assert asyncio.run(encoded(model)) == expected(source, model)


def test_another_models_tokenizer(tmp_path: Path) -> None:
    weights = folder(tmp_path / "weights", unigram(), {"tokenizer_class": "PreTrainedTokenizerFast"})
    other = Model("x", source=str(weights), engine={"tokenizer": str(WEIGHTS), "tokenizer_mode": "hf"})
    assert asyncio.run(encoded(other)) == expected(WEIGHTS, other)


def without_tokenizer(path: Path) -> None:
    (path / "tokenizer.json").unlink()


def for_architecture(path: Path) -> None:
    (path / "config.json").write_text(json.dumps({"model_type": "x", "architectures": ["DeepseekV32ForCausalLM"]}))


def for_model_type(path: Path) -> None:
    (path / "config.json").write_text(json.dumps({"model_type": "internlm2"}))


def with_mistrals_files(path: Path) -> None:
    (path / "consolidated.safetensors").touch()
    (path / "tokenizer.model.v3").touch()


def with_a_processors_template(path: Path) -> None:
    (path / "chat_template.json").write_text(json.dumps({"chat_template": CHAT_TEMPLATE}))


def with_a_processors_template_that_is_the_same(path: Path) -> None:
    template = (path / "chat_template.jinja").read_text("utf-8")
    (path / "processor_config.json").write_text(json.dumps({"chat_template": template}))
    with_a_processors_template(path)


def as_it_is(_: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("change", "env", "reason"),
    [
        (without_tokenizer, {}, "tokenizer"),
        (for_architecture, {}, "vLLM has a tokenizer of its own for DeepseekV32ForCausalLM"),
        (for_model_type, {}, "vLLM has a rule of its own for the tokenizer of internlm2"),
        (with_mistrals_files, {}, "vLLM reads Mistral's own format"),
        (with_a_processors_template, {}, "the model's processor has a chat template of its own"),
        (as_it_is, {"VLLM_USE_MODELSCOPE": "True"}, "VLLM_USE_MODELSCOPE is set"),
    ],
)
def test_what_is_not_counted_says_why(change: Any, env: dict[str, str], reason: str, tmp_path: Path) -> None:
    source = tmp_path / "model"
    shutil.copytree(WEIGHTS, source, ignore=shutil.ignore_patterns("*.safetensors"))
    change(source)
    with pytest.raises(NotLoaded, match=reason) as failure:
        asyncio.run(load_tokenizer(Model("x", source=str(source), env=env)))
    assert "\n" not in str(failure.value)


def test_without_a_template_texts_can_be_counted_and_dialogues_cannot(tmp_path: Path) -> None:
    source = tmp_path / "model"
    shutil.copytree(WEIGHTS, source, ignore=shutil.ignore_patterns("*.safetensors"))
    (source / "chat_template.jinja").unlink()
    encoder = PromptEncoder(asyncio.run(load_tokenizer(Model("x", source=str(source)))))
    assert not encoder.renders_dialogues
    assert encoder.encode_text("Paris", add_special_tokens=False)


def test_a_model_may_say_that_it_wants_the_common_format(tmp_path: Path) -> None:
    source = tmp_path / "model"
    shutil.copytree(WEIGHTS, source, ignore=shutil.ignore_patterns("*.safetensors"))
    with_mistrals_files(source)
    loaded = asyncio.run(load_tokenizer(Model("x", source=str(source), engine={"tokenizer_mode": "hf"})))
    assert PromptEncoder(loaded).encode(DIALOGUES[0])


@pytest.mark.parametrize(
    ("change", "template"),
    [(with_a_processors_template, CHAT_TEMPLATE), (with_a_processors_template_that_is_the_same, None)],
)
def test_a_processors_template_does_not_matter_where_it_is_not_used(
    change: Any, template: str | None, tmp_path: Path
) -> None:
    source = tmp_path / "model"
    shutil.copytree(WEIGHTS, source, ignore=shutil.ignore_patterns("*.safetensors"))
    change(source)
    loaded = asyncio.run(load_tokenizer(Model("x", source=str(source), chat_template=template)))
    assert PromptEncoder(loaded).encode(DIALOGUES[0])


def test_a_load_that_takes_too_long_is_ended() -> None:
    with pytest.raises(NotLoaded, match="it took longer than"):
        asyncio.run(load_tokenizer(CAPITALS, timeout_s=0.1))


def test_a_load_ends_with_its_parent() -> None:
    """However the parent ended: all that the process has of it is its standard input."""
    command = [
        sys.executable,
        "-c",
        f"import {export.__name__} as x;",
    ]
    command[-1] += "from threading import Event, Thread; Thread(target=x._end_with_parent, daemon=True).start();"
    command[-1] += "print('up', flush=True); Event().wait()"
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(30) == 1
    process.stdout.close()
