"""A process that loads one tokenizer as the engine does, writes it to standard output as a TokenizerExport, and ends.

The first line of its standard input says which, as JSON: chat templates may be longer than an argument.

It is a process of its own for two reasons: the model's environment (`HF_HUB_OFFLINE`, `HF_TOKEN`) holds for it alone,
and whoever starts it does not pay for importing all this.
"""

import json
import os
import sys
from fnmatch import fnmatch
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
from msgspec import Struct

from actors.backends.failures import one_line
from actors.backends.prompts.encoder import PromptEncoder, TokenizerExport, dialogue
from actors.backends.vllm.content_format import content_format
from cluster.conversation import Conversation
from cluster.messages.work import ChatMessage

PROBE = (ChatMessage("user", "It's 12:30 — naïve, 日本語, 🦊👩‍🚀!\n\n  two  spaces\tand <s>[INST]<|im_start|></s> "),)

_OWN_TOKENIZERS = {
    "DeepseekV32ForCausalLM",
    "DeepseekV4ForCausalLM",
    "InklingForCausalLM",
    "InklingForConditionalGeneration",
    "KimiK3ForConditionalGeneration",
    "MoonshotKimiaForCausalLM",
}
"""Architectures that vLLM 0.29 has tokenizers of its own for (vllm/config/model.py)."""

_OWN_CLASSES = {"internlm2", "step3_vl", "step3p7", "unlimited-ocr"}
"""Model types for which vLLM 0.29 overrules the class of the tokenizer (vllm/tokenizers/registry.py)."""

_PROCESSOR_FILES = ("processor_config.json", "chat_template.json")
"""Where processors have chat templates that tokenizers do not read, the stronger first."""

_OTHER_SOURCES = ("VLLM_USE_MODELSCOPE", "VLLM_MODEL_REDIRECT_PATH")


class Wanted(Struct, frozen=True):
    """Which tokenizer: vLLM's options of the same names, with vLLM's defaults filled in.

    The `conversation` says with which chat template it is used.
    """

    model: str
    revision: str | None
    tokenizer: str
    tokenizer_revision: str | None
    download_dir: str | None
    detect_mistral: bool
    conversation: Conversation = Conversation()


class Unsupported(Exception):
    """vLLM would not tokenise for this model in the way that is counted here."""


def export(wanted: Wanted) -> TokenizerExport:
    """Raises what `transformers` raises when it cannot load the tokenizer, and Unsupported."""
    _withhold_torch()
    from transformers import AutoTokenizer
    from transformers.tokenization_utils_tokenizers import TokenizersBackend

    _check_kind(wanted)
    tokenizer = AutoTokenizer.from_pretrained(
        wanted.tokenizer,
        revision=wanted.tokenizer_revision,
        cache_dir=wanted.download_dir,
        trust_remote_code=False,
    )
    if not isinstance(tokenizer, TokenizersBackend):
        raise Unsupported(f"a {type(tokenizer).__name__} is not one of the tokenizers library")
    rust = tokenizer.backend_tokenizer
    rust.no_truncation()
    rust.no_padding()
    template = _chat_template(wanted, tokenizer)
    given_format = wanted.conversation.content_format
    exported = TokenizerExport(
        rust.to_str(),
        template,
        tokenizer.special_tokens_map,
        tokenizer.split_special_tokens,
        content_format(template) if given_format == "auto" else given_format,
        wanted.conversation.template_kwargs,
    )
    _check_equal(exported, tokenizer)
    return exported


def main() -> None:
    """Load what is asked for (a Wanted). A failure is one line, the last of standard error."""
    output = _standard_output()
    asked = _first_line()
    Thread(target=_end_with_parent, daemon=True).start()
    try:
        exported = export(msgspec.json.decode(asked, type=Wanted))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the reason
        sys.exit(one_line(error))
    with os.fdopen(output, "wb") as file:
        file.write(msgspec.msgpack.encode(exported))


def _withhold_torch() -> None:
    """Tokenizers do not need PyTorch, but `transformers` imports it where it is: 300 MB and several seconds."""
    sys.modules["torch"] = None  # type: ignore[assignment]  # the import system's own sign for "not there"


def _check_kind(wanted: Wanted) -> None:
    from transformers import PretrainedConfig

    for name in _OTHER_SOURCES:
        if os.environ.get(name, "0").lower() not in ("", "0", "false"):
            raise Unsupported(f"{name} is set")
    config, _ = PretrainedConfig.get_config_dict(wanted.model, revision=wanted.revision)
    for architecture in config.get("architectures") or ():
        if architecture in _OWN_TOKENIZERS:
            raise Unsupported(f"vLLM has a tokenizer of its own for {architecture}")
    if config.get("model_type") in _OWN_CLASSES:
        raise Unsupported(f"vLLM has a rule of its own for the tokenizer of {config['model_type']}")
    if wanted.detect_mistral and _is_mistral(_files(wanted.tokenizer, wanted.tokenizer_revision)):
        raise Unsupported("vLLM reads Mistral's own format with a tokenizer of its own")


def _chat_template(wanted: Wanted, tokenizer: Any) -> str:
    """The template that vLLM renders dialogues without tools with; nothing where the tokenizer has none."""
    given = wanted.conversation.chat_template
    if given is None and not tokenizer.chat_template:
        return ""
    template: str = given if given is not None else tokenizer.get_chat_template()
    if given is None and _of_processor(wanted) not in (None, template):
        raise Unsupported("the model's processor has a chat template of its own")
    return template


def _of_processor(wanted: Wanted) -> Any:
    """What the files of a processor say of chat templates, where they say it in a place of their own."""
    from transformers.utils import cached_file

    for name in _PROCESSOR_FILES:
        file = cached_file(
            wanted.tokenizer,
            name,
            revision=wanted.revision,
            cache_dir=wanted.download_dir,
            _raise_exceptions_for_missing_entries=False,
        )
        said = json.loads(Path(file).read_text("utf-8")).get("chat_template") if file else None
        if said is not None:
            return said
    return None


def _files(source: str, revision: str | None) -> list[str]:
    if Path(source).is_dir():
        return [path.name for path in Path(source).iterdir()]

    from huggingface_hub import constants, list_repo_files, snapshot_download

    if constants.HF_HUB_OFFLINE:
        return _files(snapshot_download(source, revision=revision, local_files_only=True), None)
    return list(list_repo_files(source, revision=revision))


def _is_mistral(files: list[str]) -> bool:
    """vLLM's own test (vllm/tokenizers/registry.py)."""
    return _has(files, "consolidated*.safetensors") and (
        _has(files, "tekken.json") or _has(files, "tokenizer.model.v*")
    )


def _has(files: list[str], pattern: str) -> bool:
    return any(fnmatch(file, pattern) for file in files)


def _check_equal(exported: TokenizerExport, tokenizer: Any) -> None:
    """A tokenizer whose class does more than the library beneath it would be counted wrong: rather not at all."""
    encoder = PromptEncoder(exported)
    if exported.chat_template:
        ids = tokenizer.apply_chat_template(
            dialogue(PROBE, exported.content_format),
            chat_template=exported.chat_template,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=False,
            **exported.variables,
        )
        mine = encoder.encode(PROBE)
    else:
        ids = tokenizer.encode(PROBE[0].content)
        mine = encoder.encode_text(PROBE[0].content, add_special_tokens=True)
    if mine != ids:
        raise Unsupported(f"{type(tokenizer).__name__} makes other tokens of a text than the library")


def _standard_output() -> int:
    """Where the export goes. What else is printed, by whatever library, goes to standard error from here on."""
    output = os.dup(1)
    os.dup2(2, 1)
    return output


def _first_line() -> bytes:
    """What the parent writes to standard input, and ends as it ends a line."""
    line = b""
    while not line.endswith(b"\n"):
        if not (more := os.read(0, 1 << 16)):
            os._exit(1)
        line += more
    return line


def _end_with_parent() -> None:
    """Standard input is a pipe that nobody writes to any more: it ends when the parent does, however that was."""
    os.read(0, 1)  # not `sys.stdin`, whose lock would be in the way when this process ends first
    os._exit(1)


if __name__ == "__main__":
    main()
