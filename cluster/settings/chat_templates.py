"""Chat templates of models: their files are read once, where the settings are, and are text from there on."""

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from cluster.settings.checks import Value, options, shown, text
from cluster.settings.mistakes import Mistakes

_OF_TEXT = frozenset("{}\n")
"""A template has one of these, and a path has none, as vLLM tells the two apart."""


_WANTED = "the text of a chat template, or the path of a file that has one"

_OF_REQUESTS = (
    "messages",
    "conversation",
    "conversations",
    "chat_template",
    "add_generation_prompt",
    "continue_final_message",
)
_OF_TOKENISING = (
    "tokenize",
    "padding",
    "truncation",
    "max_length",
    "return_tensors",
    "return_dict",
    "return_assistant_tokens_mask",
    "tokenizer_kwargs",
)


def chat_template(value: Value) -> str:
    """The text of a template."""
    written = text(value)
    if _OF_TEXT.isdisjoint(written):
        raise value.is_not(_WANTED)
    return written


def template_variables(value: Value) -> dict[str, Any]:
    """What a template is given besides the dialogue, under any name that is not taken."""
    variables = options(value)
    mistakes = Mistakes()
    for name in variables:
        with mistakes.noted():
            if name in _OF_REQUESTS:
                raise value.content[name].refused("every request says that for itself")
            if name in _OF_TOKENISING:
                raise value.content[name].refused("is no variable of chat templates")
    mistakes.tell()
    return variables


def read_chat_templates(layer: Value, folder: Path, mistakes: Mistakes) -> Value:
    """The layer with the text of every template that it names by a path. Relative ones begin at `folder`.

    Files that cannot be read, or can be no template, are `mistakes`, and none of their models'.
    """
    match layer.content:
        case {"models": Value(content=list() as entries) as models}:
            read = [_with_template_read(entry, folder, mistakes) for entry in entries]
            return replace(layer, content=layer.content | {"models": replace(models, content=read)})
        case _:
            return layer


def _with_template_read(model: Value, folder: Path, mistakes: Mistakes) -> Value:
    match model.content:
        case {"chat_template": Value(content=str() as written) as template} if _OF_TEXT.isdisjoint(written):
            content = None
            with mistakes.noted():
                content = _content(template, written, folder)
            return replace(model, content=model.content | {"chat_template": replace(template, content=content)})
        case _:
            return model


def _content(template: Value, written: str, folder: Path) -> str:
    try:
        path = folder / Path(written).expanduser()
        content = path.read_text("utf-8")
    except OSError as error:
        raise template.refused(f"cannot read {shown(written)}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise template.refused(f"{shown(written)} is not UTF-8 text") from None
    except (ValueError, RuntimeError):  # a null byte in it, or ~ and nobody's name
        raise template.is_not(_WANTED) from None
    if _OF_TEXT.isdisjoint(content):
        raise template.refused(f"{shown(written)} has no chat template in it")
    return content
