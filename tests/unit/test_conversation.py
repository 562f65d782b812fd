"""What a page shows of a job's prompt and answer, and how much of it."""

import json
from typing import Any

from api.dashboard.jobs.conversation import (
    MOST_CHARACTERS,
    Conversation,
    Question,
    Said,
    Turn,
    answered,
    asked,
    question,
)
from cluster.messages.marks import Turn as Mark
from cluster.messages.work import ChatMessage, Form, FormKind, Sampling
from tests.support.jobs import a_job


def of_form(kind: FormKind, **body: Any) -> Conversation:
    return asked(a_job("a", form=Form(kind, json.dumps(body))))


def characters(conversation: Conversation) -> int:
    return sum(len(said.text) for turn in conversation.turns for said in turn.said)


def test_a_dialogue_of_texts() -> None:
    messages = (ChatMessage("system", "Be brief."), ChatMessage("user", "Hi"))
    turns = [Turn("system", [Said("text", "Be brief.")]), Turn("user", [Said("text", "Hi")])]
    assert asked(a_job("a", messages=messages)) == Conversation(turns)


def test_parts_thoughts_calls_and_their_results() -> None:
    picture = {"type": "image_url", "image_url": {"url": "media:0"}}
    call = {"id": "call_1", "type": "function", "function": {"name": "get_capital", "arguments": '{"country": "Peru"}'}}
    conversation = of_form(
        "chat",
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "What is this?"}, picture], "name": "Ada"},
            {"role": "assistant", "content": None, "reasoning": "Hm.", "tool_calls": [call]},
            {"role": "tool", "content": "Lima", "tool_call_id": "call_1"},
            {"role": "user", "content": [{"type": "refusal", "refusal": "no"}]},
        ],
    )
    assert conversation.turns == [
        Turn("user (Ada)", [Said("text", "What is this?"), Said("medium", "Picture")]),
        Turn("assistant", [Said("thought", "Hm."), Said("call", '{"country": "Peru"}', "get_capital")]),
        Turn("tool (call_1)", [Said("text", "Lima")]),
        Turn("user", [Said("data", '{"type":"refusal","refusal":"no"}')]),
    ]


def test_prompts_of_completions() -> None:
    assert of_form("completion", prompt="Once").turns == [Turn("prompt", [Said("text", "Once")])]
    assert of_form("completion", prompt=[1, 2]).turns == [Turn("prompt", [Said("data", "[1,2]")])]
    assert [turn.said[0].text for turn in of_form("completion", prompt=["a", "b"]).turns] == ["a", "b"]
    assert [turn.said[0].text for turn in of_form("completion", prompt=[[1], [2]]).turns] == ["[1]", "[2]"]


def test_what_pooling_models_are_asked() -> None:
    assert of_form("embedding", input="Hi", dimensions=8).turns == [Turn("input", [Said("text", "Hi")])]
    reranked = of_form("rerank", query="Who?", documents=["a", "b"], top_n=1)
    assert reranked.turns == [Turn("query", [Said("text", "Who?")]), Turn("documents", [Said("data", '["a","b"]')])]
    asked_as_a_dialogue = of_form("embedding", messages=[{"role": "user", "content": "Hi"}])
    assert asked_as_a_dialogue.turns == [Turn("user", [Said("text", "Hi")])]


def test_an_answer_is_its_thoughts_its_text_and_its_calls() -> None:
    marks = (Mark(0, "reasoning"), Mark(2, "content"), Mark(4, "tool", 0, 0, "c"), Mark(5, "arguments", 0, 0, "c"))
    said = [Said("thought", "Hm"), Said("text", "So"), Said("call", "{}", "f")]
    assert answered("HmSof{}", marks) == Conversation([Turn("", said)])


def test_several_answers_are_numbered() -> None:
    marks = (Mark(0, choice=0), Mark(1, choice=1))
    assert [turn.title for turn in answered("ab", marks).turns] == ["answer 1", "answer 2"]


def test_of_a_long_text_the_beginning_is_shown_and_how_much_is_left_out() -> None:
    [turn] = asked(a_job("a", messages=(ChatMessage("user", "x" * 100_000),))).turns
    assert len(turn.said[0].text) + turn.said[0].left_out == 100_000
    assert len(turn.said[0].text) < MOST_CHARACTERS


def test_of_a_long_dialogue_the_last_turns_are_shown() -> None:
    for length, count in ((10, 5_000), (5_000, 50), (100_000, 20)):
        messages = tuple(ChatMessage("user", f"{number} " + "x" * length) for number in range(count))
        conversation = asked(a_job("a", messages=messages))
        assert len(conversation.turns) + conversation.earlier == count
        assert conversation.turns[-1].said[0].text.startswith(f"{count - 1} ")
        assert characters(conversation) <= MOST_CHARACTERS
        assert len(conversation.turns) <= 150


def test_a_turn_of_many_parts_is_bounded_too() -> None:
    parts = [{"type": "text", "text": "x"}] * 5_000
    [turn] = of_form("chat", messages=[{"role": "user", "content": parts}]).turns
    assert len(turn.said) <= 150


def test_a_single_usual_question_can_be_asked_again_and_nothing_else() -> None:
    system, user = ChatMessage("system", "Be brief."), ChatMessage("user", "Hi")
    drawn = Sampling(max_tokens=7, temperature=None, seed=3)
    asked_once = a_job("a", messages=(system, user), sampling=drawn)
    assert question(asked_once) == Question("m", "Be brief.", "Hi", drawn)
    assert question(a_job("a", messages=(user,), adapter="poet")) == Question("poet", "", "Hi", a_job("a").sampling)
    for fields in (
        {"messages": (user, ChatMessage("assistant", "Hello"), user)},
        {"messages": (system,)},
        {"messages": (user,), "form": Form("chat", "{}")},
        {"messages": (user,), "sampling": Sampling(stop=("x",))},
        {"messages": (user,), "sampling": Sampling(json_schema="{}")},
    ):
        assert question(a_job("a", **fields)) is None
