"""vLLM's parsers read an answer once, token by token: however its tokens come, and whoever goes on with it.

Needs vLLM and a tokenizer, and no engine.
"""

import json
import random
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.backends.builtin import resolve_source
from actors.backends.marked import Interpreter, MarkedGeneration, Token
from actors.backends.vllm.detokenizer import make_detokenizer
from cluster.ids import AccountId, JobId, KeyId
from cluster.messages.marks import FinishReason, Turn
from cluster.messages.work import Dispatch, Finished, Form, Job, Output, Sampling
from cluster.text.answers import choices
from cluster.text.choices import by_choice, segments
from cluster.text.token_log import TokenLog

pytestmark = pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_capital",
            "parameters": {"type": "object", "properties": {"country": {"type": "string"}}, "required": ["country"]},
        },
    }
]
BODY = {"messages": [{"role": "user", "content": "?"}], "tools": TOOLS, "tool_choice": "auto"}

MARKERS = (
    "<think>", "</think>", "<tool_call>", "</tool_call>", "[TOOL_CALLS]", "<|python_tag|>", "<|tool_call|>",
    "<tool_response>", "<function=get_capital>", "</function>", "<parameter=country>", "</parameter>",
)  # fmt: skip
CALL = '{"name": "get_capital", "arguments": {"country": "Österreich"}}'
PERU_CALL = '{"name": "get_capital", "arguments": {"country":"Peru"}}'
PERU = '{"country": "Peru"}'
NAMED = {"type": "function", "function": {"name": "get_capital"}}
WORDS = ("Wien ist schön 🦊. ", "The capital is Paris.", "\n", "\n\n", " ", CALL, "[", "]", f"[{CALL}]", "{", '"name"')
texts = st.lists(st.sampled_from(MARKERS + WORDS), max_size=8).map("".join)

PARSERS = (
    ("hermes", ""), ("hermes", "qwen3"), ("", "qwen3"), ("", "deepseek_r1"), ("llama3_json", ""), ("pythonic", ""),
    ("granite", "granite"), ("jamba", ""), ("internlm", ""), ("phi4_mini_json", ""), ("xlam", ""), ("step3", "step3"),
    ("qwen3_coder", "qwen3"), ("hunyuan_a13b", "hunyuan_a13b"), ("olmo3", "olmo3"), ("glm45", "glm45"),
    ("minimax_m2", "minimax_m2"), ("seed_oss", "seed_oss"), ("ernie45", "ernie45"), ("", "mistral"),
)  # fmt: skip


@cache
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    loaded: Any = AutoTokenizer.from_pretrained(resolve_source("builtin:capitals"))  # type: ignore[no-untyped-call]
    loaded.add_tokens(list(MARKERS))
    return loaded


def interpreter(names: tuple[str, str], **fields: Any) -> Interpreter:
    """A new one, as the engine of a model with these parsers makes it. Skips where one wants another vocabulary."""
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.parser import ParserManager

    from actors.backends.vllm.frontend import Parsing

    tool, reasoning = names
    parser = ParserManager.get_parser(tool or None, reasoning or None, enable_auto_tools=bool(tool))
    request = ChatCompletionRequest(**json.loads(json.dumps(BODY | fields)))
    settings = {"chat_template_kwargs": {}, "model_config": None}
    try:
        return Parsing(parser, tokenizer(), request, (1, 2, 3), settings).interpreter()
    except Exception as error:  # noqa: BLE001 - each says it in its own words
        pytest.skip(f"{names}: {error}")


def dispatch(resume: Output = Output()) -> Dispatch:
    job = Job(
        JobId("job_1"), AccountId("a"), KeyId("k"), "m", (), Sampling(max_tokens=10_000), 0, 1, form=Form("chat", "{}")
    )
    return Dispatch(job, 2 if resume.token_ids else 1, resume)


def tokens_of(text: str) -> list[Token]:
    ids = tokenizer().encode(text, add_special_tokens=False)
    detokenizer = make_detokenizer(tokenizer(), (1, 2, 3))
    return [Token(detokenizer.text(token_id), token_id) for token_id in ids]


def cut(tokens: Sequence[Token], random_: random.Random, longest: int) -> Iterator[Sequence[Token]]:
    begin = 0
    while begin < len(tokens):
        end = begin + random_.randint(1, longest)
        yield tokens[begin:end]
        begin = end


def told(generation: MarkedGeneration, log: TokenLog, steps: Sequence[Sequence[Token]]) -> TokenLog:
    """The log, after these steps and the end of the answer."""
    for number, step in enumerate([*steps, []]):
        chunk = generation.advance_choice(0, step, "stop" if number == len(steps) else None)
        if chunk is not None:
            log.append(chunk.text, chunk.token_ids, chunk.ends, chunk.marks)
    assert generation.ended
    return log


def meant(log: TokenLog) -> list[tuple[str, int, str]]:
    return [(segment.turn.kind, segment.turn.call, segment.text) for segment in segments(log.text, log.marks)]


@pytest.mark.parametrize("names", PARSERS, ids="+".join)
@settings(max_examples=25, deadline=None)
@given(text=texts, seed=st.integers(0, 2**32))
def test_an_answer_means_the_same_however_its_tokens_come_and_whoever_goes_on(
    names: tuple[str, str], text: str, seed: int
) -> None:
    random_ = random.Random(seed)
    tokens = tokens_of(text)
    try:
        undisturbed = told(
            MarkedGeneration(dispatch(), 3, [interpreter(names)]), TokenLog(epoch=1), [[token] for token in tokens]
        )
    except Exception:  # noqa: BLE001 - a parser that fails on what models do not write is vLLM's own matter
        return
    in_steps = told(
        MarkedGeneration(dispatch(), 3, [interpreter(names)]), TokenLog(epoch=1), [*cut(tokens, random_, 4)]
    )
    assert meant(in_steps) == meant(undisturbed)
    assert read_as_whole(in_steps) == read_as_whole(undisturbed)

    kept = TokenLog(undisturbed.output())
    kept.cut(random_.randint(0, len(kept.token_ids)))
    had = kept.output()
    goes_on = taken_over(names, had)
    rest = tokens[len(had.token_ids) :]
    moved = told(MarkedGeneration(dispatch(had), 3, [goes_on]), TokenLog(had), [*cut(rest, random_, 4)])
    assert meant(moved) == meant(undisturbed)
    assert calls(moved, had) == calls(undisturbed, had)
    assert read_as_whole(moved) == read_as_whole(undisturbed)


WHOLES = [
    ("auto", f"<tool_call>{CALL}</tool_call>", "stop", None, '{"country": "Österreich"}', "tool_calls"),
    ("auto", '<tool_call>{"name": "get_capital", "argu', "length", "<tool_call>", "", "length"),
    ("auto", 'Hm. <tool_call>{"name": "get_capital", "arguments": {"country": "P', "length", "Hm. <tool", "", "length"),
    ("required", f"<tool_call>{PERU_CALL}</tool_call>", "stop", None, PERU, "tool_calls"),
    ("required", '<tool_call>{"name": "get_capital", "argum', "length", "<tool_call>", "", "length"),
    (NAMED, f"<tool_call>{PERU_CALL}</tool_call>", "stop", None, PERU, "stop"),
    ("none", f"<tool_call>{CALL}</tool_call>", "stop", "<tool_call>", "", "stop"),
]


@pytest.mark.parametrize(("tool_choice", "text", "reason", "content", "arguments", "finish_reason"), WHOLES)
def test_a_whole_answer_is_read_as_vllms_server_reads_it(
    tool_choice: Any, text: str, reason: FinishReason, content: str | None, arguments: str, finish_reason: str
) -> None:
    """Arguments of calls are written anew; what was cut off before there was a call is content, and no call."""
    generation = MarkedGeneration(dispatch(), 3, [interpreter(("hermes", ""), tool_choice=tool_choice)])
    log = TokenLog(epoch=1)
    for token in tokens_of(text):
        if chunk := generation.advance_choice(0, [token]):
            log.append(chunk.text, chunk.token_ids, chunk.ends, chunk.marks)
    end = generation.advance_choice(0, [], reason)
    assert end is not None and isinstance(end.end, Finished)
    log.append(end.text, end.token_ids, end.ends, end.marks)
    [choice] = choices(log.text, log.marks)
    read = choice.as_whole()
    assert (read.content or "").startswith(content or "") and bool(read.content) == bool(content)
    assert [call.arguments for call in read.tool_calls] == ([arguments] if arguments else [])
    assert (choice.whole.finish_reason if choice.whole else end.end.finish_reason) == finish_reason
    told = {call.id for call in choice.tool_calls}
    assert {call.id for call in read.tool_calls} <= told  # who reads both knows that it is one call


def read_as_whole(log: TokenLog) -> tuple[str | None, str | None, list[tuple[str, str]]]:
    """Without the ids of calls: those that no stream has told are made up."""
    read = choices(log.text, log.marks)[0].as_whole()
    return read.content, read.reasoning, [(call.name, call.arguments) for call in read.tool_calls]


def taken_over(names: tuple[str, str], had: Output) -> Interpreter:
    """What reads the rest: told of all that has been told, at the same cuts, as `rendering.py` does."""
    from actors.backends.vllm.frontend import ParsedAnswer

    reads = interpreter(names)
    detokenizer = make_detokenizer(tokenizer(), (1, 2, 3))
    held: list[int] = []
    for token_id in had.token_ids:
        held.append(token_id)
        if text := detokenizer.text(token_id):
            reads.read(text, held, finished=False)
            held = []
    assert isinstance(reads, ParsedAnswer)
    reads.goes_on_from(by_choice(had, 1)[0])
    return reads


def calls(log: TokenLog, had: Output) -> list[str]:
    """The ids of the calls that had been told of before."""
    before = {mark.call for mark in had.marks if isinstance(mark, Turn) and mark.id}
    return [call.id for number, call in enumerate(choices(log.text, log.marks)[0].tool_calls) if number in before]
