"""Counting prompts at the door, with tokenizers made here. Those of models: tests/backends/test_prompt_counts.py."""

import asyncio
import logging
import threading
from array import array
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from actors.backends.builtin import resolve_source
from actors.backends.prompts import lazy
from actors.backends.prompts.by_length import TOKEN_BYTES, prompt_bytes, prompt_tokens
from actors.backends.prompts.counter import INLINE_CHARACTERS, MOST_MESSAGES, SHORT_CHARACTERS, PromptCounter
from actors.backends.prompts.encoder import PromptEncoder, PromptRefused, TokenizerExport
from actors.backends.prompts.lazy import LazyEncoder
from actors.backends.prompts.loader import NotLoaded, load_tokenizer
from cluster.catalogue import CAPITALS, Model
from cluster.clock import SystemClock
from cluster.errors import BadRequest
from cluster.messages.work import ChatMessage
from cluster.prefixes.chain import HASH_BYTES, chain

PATIENCE_S = 30.0
"""How long to wait for a signal before a test fails. Nothing waits for time to pass."""

SECRET = "my cat's name is Mrrgl"
SPECIAL_TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
PLAIN = "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}</s>{% endfor %}"

TEMPLATES = {
    "plain": PLAIN,
    "begins with bos": "{{ bos_token }}{% for m in messages %}{{ m['content'] + eos_token }}{% endfor %}",
    "prompts the assistant": PLAIN + "{% if add_generation_prompt %}<s>assistant: {% endif %}",
    "system joined to the user": (
        "{%- if messages[0].role == 'system' %}{% set rest = messages[1:] %}{% set first = messages[0].content %}"
        "{%- else %}{% set rest = messages %}{% set first = '' %}{% endif %}"
        "{%- for m in rest %}{{ bos_token }}{{ first if loop.first }}{{ m.content | trim }}{% endfor %}"
    ),
    "namespace and break": (
        "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
        "{% if ns.n > 2 %}{% break %}{% endif %}{{ m | tojson }}{% endfor %}{{ ns.n }}"
    ),
    "whitespace control": "{% for m in messages %}\n    {{- m.content }}\n{% endfor %}\n  {% if 1 %}\nx\n  {% endif %}",
    "the year": "{{ strftime_now('%Y') }}{% for m in messages %}{{ m.content }}{% endfor %}",
    "no tools": "{% if tools is none %}x{% endif %}{% if documents %}y{% endif %}{{ messages | length }}",
    "marked generation": "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
}

DIALOGUES = {
    "short": [("user", "Hello")],
    "long": [("system", "Be brief. "), ("user", "  What?\n\n"), ("assistant", "That."), ("user", "Why? " * 50)],
    "empty": [("user", "")],
    "beyond ASCII": [("user", "naïve 日本語 🦊👩‍🚀\u0301 \x07 \u200b")],
    "special tokens": [("user", "</s><s> <s>assistant: I am</s> < s >")],
}


def dialogue(*messages: tuple[Any, str]) -> tuple[ChatMessage, ...]:
    return tuple(ChatMessage(role, content) for role, content in messages)


def user(content: str) -> tuple[ChatMessage, ...]:
    return dialogue(("user", content))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """Byte-level BPE that adds <s> by itself, which must not happen to what a template has rendered."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator([Path(__file__).read_text("utf-8")], trainer)
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return made


def encoder(tokenizer: Tokenizer, template: str = PLAIN, **options: Any) -> PromptEncoder:
    return PromptEncoder(TokenizerExport(tokenizer.to_str(), template, SPECIAL_TOKENS, **options))


async def count(counting: PromptCounter, model: Model, messages: Sequence[ChatMessage]) -> int | None:
    return (await counting.count(model, messages)).tokens


@pytest.mark.parametrize("messages", DIALOGUES.values(), ids=DIALOGUES)
@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
@pytest.mark.parametrize("split", [False, True])
def test_makes_the_tokens_that_transformers_makes(
    tokenizer: Tokenizer, template: str, messages: list[tuple[str, str]], split: bool
) -> None:
    from transformers import PreTrainedTokenizerFast

    reference = PreTrainedTokenizerFast(tokenizer_object=tokenizer, split_special_tokens=split, **SPECIAL_TOKENS)
    ids = reference.apply_chat_template(
        [{"role": role, "content": content} for role, content in messages],
        chat_template=template,
        add_generation_prompt=True,
        return_dict=False,
    )
    assert encoder(tokenizer, template, split_special_tokens=split).encode(dialogue(*messages)) == ids


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("raise_exception('Roles must\n  alternate')", "messages: Roles must alternate"),
        ("raise_exception('no ' ~ messages[1].role ~ ' here')", "messages: no assistant here"),
        ("raise_exception('x' * 5000)", "messages: " + "x" * 200),
        ("raise_exception('')", "messages: the model's chat template refuses this dialogue"),
        ("messages[1].content.missing.more", "messages: the model's chat template cannot render this dialogue"),
        ("messages.__class__.__mro__", "messages: the model's chat template cannot render this dialogue"),
        ("messages[1].content + 1", "messages: the model's chat template cannot render this dialogue"),
        ("1 / (messages | length - 2)", "messages: the model's chat template cannot render this dialogue"),
    ],
)  # fmt: skip
def test_a_dialogue_that_the_template_refuses_is_a_bad_request(tokenizer: Tokenizer, condition: str, said: str) -> None:
    template = "{% if messages | length > 1 %}{{ " + condition + " }}{% endif %}" + PLAIN

    async def check(counting: PromptCounter) -> None:
        with pytest.raises(BadRequest) as refusal:
            await count(counting, CAPITALS, dialogue(("user", SECRET), ("assistant", "No.")))
        assert refusal.value.message == said
        assert refusal.value.__cause__ is None  # it would quote the template
        assert await count(counting, CAPITALS, user(SECRET)) == len(encoder(tokenizer).encode(user(SECRET)))

    run(check, load=giving(encoder(tokenizer, template)))


def test_a_template_made_for_parts_is_given_parts(tokenizer: Tokenizer) -> None:
    by_parts = (
        "{% for m in messages %}{% for part in m.content %}{{ part.type }}: {{ part.text }}{% endfor %}{% endfor %}"
    )
    ids = encoder(tokenizer, by_parts, content_format="openai").encode(user("Hello"))
    assert encoder(tokenizer).decode(ids) == "text: Hello"


@pytest.mark.parametrize(
    ("of_request", "rendered"),
    [
        ({}, "set </s> Hello"),
        ({"style": "asked"}, "asked </s> Hello"),
        ({"style": None}, "set </s> Hello"),
        ({"style": "auto", "eos_token": "!"}, "set ! Hello"),
    ],
)
def test_variables_of_a_request_are_above_those_of_the_settings(
    of_request: dict[str, Any], rendered: str, tokenizer: Tokenizer
) -> None:
    template = "{{ style }} {{ eos_token }} {{ messages[0].content }}"
    made = encoder(tokenizer, template, variables={"style": "set"})
    assert made.decode(made.encode(user("Hello"), variables=of_request)) == rendered


def test_without_a_template_there_are_texts_and_no_dialogues(tokenizer: Tokenizer) -> None:
    made = encoder(tokenizer, template="")
    ids = made.encode_text("Hello", add_special_tokens=True)
    assert (ids[0], made.decode(ids[1:])) == (0, "Hello")
    with pytest.raises(PromptRefused, match="the model's tokenizer has no chat template"):
        made.encode(user("Hello"))


def test_without_a_template_dialogues_are_left_to_the_engine(tokenizer: Tokenizer) -> None:
    """vLLM may take the template of a processor, or one of its own for models of this type."""

    async def check(counting: PromptCounter) -> None:
        assert await count(counting, CAPITALS, user("Hello")) is None

    run(check, load=giving(encoder(tokenizer, template="")))


def test_a_template_that_refuses_the_simplest_dialogue_is_of_no_use(tokenizer: Tokenizer) -> None:
    with pytest.raises(PromptRefused, match="never"):
        encoder(tokenizer, "{{ raise_exception('never') }}")


def test_simulated_models_are_counted_as_their_engines_count() -> None:
    messages = dialogue(("system", "Be brief."), ("user", "12345"))

    async def check(counting: PromptCounter) -> None:
        assert await count(counting, Model("sim", backend="simulated"), messages) == prompt_tokens(messages)

    run(check, load=refusing())


def test_a_prompts_hashes_are_of_the_tokens_that_the_engine_is_given(tokenizer: Tokenizer) -> None:
    messages = user("the same beginning " * 100)

    async def check(counting: PromptCounter) -> None:
        prompt = await counting.count(replace(CAPITALS, engine={"block_size": 16}), messages)
        assert prompt.prefix == chain(array("I", prompt.ids).tobytes(), 64 * 4)
        assert len(prompt.prefix) >= HASH_BYTES

    run(check, load=giving(encoder(tokenizer)))


def test_dialogues_of_simulated_models_have_hashes_in_common_as_far_as_they_are_the_same() -> None:
    first = dialogue(("system", "Be brief. " * 90), ("user", "one"))
    longer = (*first, *dialogue(("assistant", "two"), ("user", "three " * 90)))

    async def check(counting: PromptCounter) -> None:
        model = Model("sim", backend="simulated")
        before, after = [(await counting.count(model, messages)).prefix for messages in (first, longer)]
        assert after.startswith(before)
        assert len(after) > len(before) >= 3 * HASH_BYTES
        other = (await counting.count(model, dialogue(("user", "Be brief. " * 90)))).prefix
        assert other[:HASH_BYTES] != before[:HASH_BYTES]

    run(check, load=refusing())


@given(st.lists(st.builds(ChatMessage, st.sampled_from(["system", "user", "assistant"]), st.text()), max_size=4))
def test_a_simulated_prompt_has_as_many_tokens_as_are_counted(messages: list[ChatMessage]) -> None:
    assert len(prompt_bytes(messages)) == prompt_tokens(messages) * TOKEN_BYTES


def test_more_messages_than_a_template_may_see_are_not_counted() -> None:
    async def check(counting: PromptCounter) -> None:
        assert await count(counting, CAPITALS, user("x") * MOST_MESSAGES) == MOST_MESSAGES
        assert await count(counting, CAPITALS, user("x") * (MOST_MESSAGES + 1)) is None

    run(check, load=giving(Counted()))


@pytest.mark.parametrize(
    ("characters", "thread"),
    [
        (INLINE_CHARACTERS, threading.main_thread().name),
        (INLINE_CHARACTERS + 1, "short-prompts"),
        (SHORT_CHARACTERS, "short-prompts"),
        (SHORT_CHARACTERS + 1, "long-prompts"),
    ],
)
def test_only_short_prompts_are_counted_in_the_loops_thread(characters: int, thread: str) -> None:
    counted = Counted()

    async def check(counting: PromptCounter) -> None:
        await count(counting, CAPITALS, user("x" * characters))
        assert counted.threads[0].startswith(thread)

    run(check, load=giving(counted))


def test_many_messages_are_not_counted_in_the_loops_thread() -> None:
    counted = Counted()

    async def check(counting: PromptCounter) -> None:
        await count(counting, CAPITALS, user("x") * 100)
        assert counted.threads[0].startswith("short-prompts")

    run(check, load=giving(counted))


def test_short_prompts_do_not_wait_for_long_ones() -> None:
    counted = Counted(longest=SHORT_CHARACTERS)

    async def check(counting: PromptCounter) -> None:
        waiting = [asyncio.create_task(count(counting, CAPITALS, user("x" * 50_000))) for _ in range(5)]
        await asyncio.to_thread(counted.blocked.wait, PATIENCE_S)
        for characters in (1, INLINE_CHARACTERS + 1, SHORT_CHARACTERS):
            assert await count(counting, CAPITALS, user("x" * characters)) == 1
        assert not any(task.done() for task in waiting)
        counted.go.set()
        assert await asyncio.gather(*waiting) == [1] * 5

    run(check, load=giving(counted))


def test_a_prompt_that_takes_too_long_is_not_counted(caplog: pytest.LogCaptureFixture) -> None:
    counted = Counted(longest=SHORT_CHARACTERS)

    async def check(counting: PromptCounter) -> None:
        prompt = user(SECRET + "x" * SHORT_CHARACTERS)
        assert await asyncio.gather(*[count(counting, CAPITALS, prompt) for _ in range(5)]) == [None] * 5
        counted.go.set()

    run(check, load=giving(counted), patience_s=0.05)
    assert len(counted.threads) <= 2, "prompts that nobody waits for any more were counted"
    assert {record.getMessage() for record in caplog.records} == {"model capitals: a prompt was not counted within 0 s"}


def test_a_prompt_that_cannot_be_counted_is_not_quoted(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Counted):
        def encode(self, messages: Sequence[ChatMessage]) -> Sequence[int]:
            raise ValueError(f"cannot encode {messages[0].content}")

    async def check(counting: PromptCounter) -> None:
        assert await count(counting, CAPITALS, user(SECRET)) is None

    run(check, load=giving(Broken()))
    [record] = caplog.records
    assert record.getMessage() == "model capitals: a prompt could not be counted (ValueError)"
    assert record.exc_info is None


def test_the_loop_goes_on_while_a_long_prompt_is_counted() -> None:
    weights = Path(resolve_source("builtin:capitals"))
    template = (weights / "chat_template.jinja").read_text("utf-8")
    capitals = PromptEncoder(TokenizerExport((weights / "tokenizer.json").read_text("utf-8"), template, {}))

    async def check(counting: PromptCounter) -> None:
        task = asyncio.create_task(count(counting, CAPITALS, user("What is it? " * 80_000)))
        turns = 0
        while not task.done():
            await asyncio.sleep(0.01)
            turns += 1
        assert (await task or 0) > 100_000
        assert turns > 5  # a count that held the interpreter's lock would leave the loop two

    run(check, load=giving(capitals))


def test_models_are_loaded_at_the_start_but_not_waited_for() -> None:
    loads = Loads()

    async def check() -> None:
        counting = PromptCounter([CAPITALS, Model("sim", backend="simulated"), Model("other", source="x")], loads)
        await counting.start()
        await loads.asked.acquire()
        await loads.asked.acquire()
        assert loads.models == ["capitals", "other"]
        await counting.stop()

    asyncio.run(check())


def test_the_first_prompts_wait_for_the_tokenizer_and_share_it() -> None:
    loads = Loads()

    async def check(counting: PromptCounter) -> None:
        counts = [asyncio.create_task(count(counting, CAPITALS, user("x"))) for _ in range(3)]
        await loads.asked.acquire()
        assert not any(task.done() for task in counts)
        loads.answer(Counted())
        assert await asyncio.gather(*counts) == [1, 1, 1]
        assert await count(counting, CAPITALS, user("x")) == 1
        assert loads.models == ["capitals"]

    run(check, load=loads)


def test_a_slow_tokenizer_is_not_waited_for_longer_than_patience() -> None:
    loads = Loads()

    async def check(counting: PromptCounter) -> None:
        assert await count(counting, CAPITALS, user("x")) is None
        assert loads.models == ["capitals"]

    run(check, load=loads, patience_s=0.05)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(NotLoaded("there is no folder /x"), "there is no folder /x"), (OSError("no\nmemory"), "OSError: no memory")],
)
def test_a_failure_is_logged_once_and_tried_again_ever_more_rarely(
    caplog: pytest.LogCaptureFixture, error: Exception, reason: str
) -> None:
    caplog.set_level(logging.INFO)
    clock = HandClock()
    loads = Loads()

    async def check(counting: PromptCounter) -> None:
        loads.answer(error)
        for pause_s in (lazy.FIRST_RETRY_S, 2 * lazy.FIRST_RETRY_S):
            assert await count(counting, CAPITALS, user("x")) is None
            await loads.asked.acquire()
            clock.now_s += pause_s - 1
            assert await count(counting, CAPITALS, user("x")) is None
            assert loads.asked.locked(), "tried again too soon"
            clock.now_s += 1
        loads.answer(Counted())
        assert await count(counting, CAPITALS, user("x")) is None  # not waited for: the engine counts
        await loads.asked.acquire()
        assert len(loads.models) == 3
        assert await count(counting, CAPITALS, user("x")) == 1

    run(check, load=loads, clock=clock)
    assert [record.getMessage() for record in caplog.records if record.name == lazy.__name__] == [
        f"model capitals: prompts are not counted before they are accepted: {reason}",
        "model capitals: prompts are counted before they are accepted from now on",
    ]


def test_retries_stop_getting_rarer() -> None:
    clock = HandClock()
    loads = Loads()
    loads.answer(NotLoaded("no"))

    async def check() -> None:
        encoder = LazyEncoder(CAPITALS, loads, clock)
        for attempt in range(1, 12):
            encoder.start()
            await loads.asked.acquire()
            await encoder.stop()
            assert len(loads.models) == attempt
            clock.now_s += lazy.LAST_RETRY_S

    asyncio.run(check())


def test_stopping_ends_a_load_under_way() -> None:
    loads = Loads()

    async def check() -> None:
        counting = PromptCounter([CAPITALS], loads)
        await counting.start()
        await loads.asked.acquire()
        await counting.stop()
        assert loads.cancelled == 1
        await counting.stop()

    asyncio.run(check())


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Model("x", source="org/x", engine={"trust_remote_code": True}), "code that comes with the model"),
        (Model("x", source="org/x", engine={"tokenizer_mode": "mistral"}), "tokenizer_mode mistral"),
        (Model("x", source="/nowhere/at/all"), "no folder /nowhere/at/all"),
        (Model("x", source="org/x", engine={"tokenizer": "./nowhere"}), "no folder ./nowhere"),
    ],
)
def test_what_needs_no_process_to_be_refused(model: Model, reason: str) -> None:
    with pytest.raises(NotLoaded, match=reason):
        asyncio.run(load_tokenizer(model))


class HandClock(SystemClock):
    """Goes on when it is set."""

    now_s = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s


class Counted(PromptEncoder):
    """Counts messages. Dialogues with more than `longest` characters wait for `go`; `blocked` tells that two do."""

    renders_dialogues = True

    def __init__(self, longest: int = 1 << 30) -> None:
        self.threads: list[str] = []
        self.longest = longest
        self.go = threading.Event()
        self.blocked = threading.Event()

    def encode(self, messages: Sequence[ChatMessage]) -> Sequence[int]:
        self.threads.append(threading.current_thread().name)
        if sum(len(message.content) for message in messages) > self.longest:
            if len(self.threads) == 2:
                self.blocked.set()
            assert self.go.wait(PATIENCE_S)
        return range(len(messages))


class Loads:
    """Loads nothing until it is told the answer. `asked` is released once for every call."""

    def __init__(self) -> None:
        self.models: list[str] = []
        self.asked = asyncio.Semaphore(0)
        self.cancelled = 0
        self._answer: PromptEncoder | Exception | None = None
        self._answered = asyncio.Event()

    def answer(self, answer: PromptEncoder | Exception) -> None:
        self._answer = answer
        self._answered.set()

    async def __call__(self, model: Model) -> PromptEncoder:
        self.models.append(model.id)
        self.asked.release()
        try:
            await self._answered.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(self._answer, Exception):
            raise self._answer
        assert self._answer is not None
        return self._answer


def giving(made: PromptEncoder) -> Callable[[Model], Coroutine[Any, Any, PromptEncoder]]:
    async def load(_: Model) -> PromptEncoder:
        return made

    return load


def refusing() -> Callable[[Model], Coroutine[Any, Any, PromptEncoder]]:
    async def load(model: Model) -> PromptEncoder:
        raise AssertionError(f"{model.id} has no tokenizer to load")

    return load


def run(check: Callable[[PromptCounter], Coroutine[Any, Any, None]], load: lazy.Load, **options: Any) -> None:
    async def checked() -> None:
        counting = PromptCounter([], load, **options)
        try:
            await check(counting)
        finally:
            await counting.stop()

    asyncio.run(checked())
