"""Chat templates, their variables and parsers of answers, as settings say them and as a model has them."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cluster.catalogue import CAPITALS, Model
from cluster.conversation import Conversation
from cluster.errors import ConfigError
from cluster.fleet.makes import make_of
from cluster.settings.layers import load, parse
from cluster.settings.schema import Settings

TEMPLATE = "{% for m in messages %}{{ m.content }}\n{% endfor %}"
FILE = """\
models:
  - id: m
    source: org/m
    chat_template: {path}
    chat_template_content_format: openai
    chat_template_kwargs: {{enable_thinking: false, documents: [{{title: a}}]}}
"""


def load_with(folder: Path, path: str) -> Settings:
    settings = folder / "infernet.yaml"
    settings.write_text(FILE.format(path=path), "utf-8")
    return load(settings, {})


def model(**entry: Any) -> Model:
    return parse({"models": [{"id": "m", "source": "org/m"} | entry]}, "test").models[0]


def refusal(**entry: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        model(**entry)
    return refused.value.message


@pytest.mark.parametrize("path", ["m.jinja", "./m.jinja", "{folder}/m.jinja"])
def test_a_file_is_read_where_the_settings_are(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    (tmp_path / "m.jinja").write_text(TEMPLATE, "utf-8")
    [made] = load_with(tmp_path, path.format(folder=tmp_path)).models
    assert made.conversation == Conversation(
        TEMPLATE, "openai", {"enable_thinking": False, "documents": [{"title": "a"}]}
    )


def test_a_path_of_a_serve_config_begins_where_the_process_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.jinja").write_text(TEMPLATE, "utf-8")
    assert model(chat_template="m.jinja").chat_template == TEMPLATE


@pytest.mark.parametrize("text", [TEMPLATE, "{{ messages }}", "no variables\n"])
def test_text_is_taken_as_it_is_wherever_it_is_read_again(text: str) -> None:
    made = model(chat_template=text)
    assert made.chat_template == text
    assert model(chat_template=made.chat_template).chat_template == text


def test_nothing_said_is_what_the_model_itself_says() -> None:
    assert model().conversation == model(chat_template=None).conversation == Conversation()


def test_a_file_that_cannot_be_used_is_refused_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "empty.jinja").write_text("", "utf-8")
    (tmp_path / "latin.jinja").write_bytes(b"{\xe4}")
    for path, reason in {
        "nowhere.jinja": 'cannot read "nowhere.jinja": No such file or directory',
        ".": 'cannot read ".": Is a directory',
        "empty.jinja": '"empty.jinja" has no chat template in it',
        "latin.jinja": '"latin.jinja" is not UTF-8 text',
    }.items():
        with pytest.raises(ConfigError) as refused:
            load_with(tmp_path, path)
        assert refused.value.message == f"{tmp_path}/infernet.yaml:4:5: models[0].chat_template: {reason}"


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"chat_template": ""}, 'chat_template: cannot read "": Is a directory'),
        ({"chat_template": "a\0b"}, "chat_template: must be the text of a chat template, or the path of a file"),
        ({"chat_template": "~nobody-of-this-name/x"}, "chat_template: must be the text of a chat template, or the"),
        ({"chat_template": ["{{ x }}"]}, "chat_template: must be text, not a list"),
        ({"chat_template_content_format": "parts"}, "chat_template_content_format: must be auto or string or openai"),
        ({"chat_template_kwargs": "x"}, "chat_template_kwargs: must be a mapping"),
        ({"chat_template_kwargs": {"x": float("nan")}}, "chat_template_kwargs.x: must be a finite number"),
        ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs.messages: every request says that for itse"),
        ({"chat_template_kwargs": {"tokenize": True}}, "chat_template_kwargs.tokenize: is no variable of chat templa"),
        (
            {"chat_template_kwargs": {"x": 1}, "backend": "simulated"},
            "chat_template_kwargs: a simulated model has no chat template",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(entry: dict[str, Any], reason: str) -> None:
    assert refusal(**entry).startswith(f"test: models[0].{reason}")


@pytest.mark.parametrize(
    ("engine", "conversation"),
    [
        ({"tool_call_parser": "hermes"}, Conversation(tool_call_parser="hermes")),
        ({"tool_call_parser": "hermes", "enable_auto_tool_choice": True}, Conversation(tool_call_parser="hermes")),
        ({"tool_call_parser": "hermes", "enable_auto_tool_choice": False}, Conversation()),
        ({"exclude_tools_when_tool_choice_none": True}, Conversation(exclude_tools_when_tool_choice_none=True)),
        ({"reasoning_parser": "qwen3"}, Conversation(reasoning_parser="qwen3")),
        ({"structured_outputs_config": {"reasoning_parser": "qwen3"}}, Conversation(reasoning_parser="qwen3")),
        ({"reasoning_parser": "", "max_model_len": 9}, Conversation()),
    ],
)
def test_parsers_are_named_among_the_options_of_the_engine(engine: dict[str, Any], conversation: Conversation) -> None:
    assert model(engine=engine).conversation == conversation


@pytest.mark.parametrize(
    "change",
    [
        {"chat_template": TEMPLATE},
        {"chat_template_content_format": "openai"},
        {"chat_template_kwargs": {"x": 1}},
        {"engine": {"tool_call_parser": "llama3_json"}},
        {"engine": {"reasoning_parser": "qwen3"}},
    ],
)
def test_an_answer_goes_on_only_where_its_dialogue_and_its_tokens_are_read_the_same(change: dict[str, Any]) -> None:
    before, after = make_of(CAPITALS), make_of(replace(CAPITALS, **change))
    assert after.fingerprint != before.fingerprint
    assert after.vocabulary != before.vocabulary
