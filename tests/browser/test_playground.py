"""The Playground: a conversation to its end, connections cut and mended, mistakes at their fields, programs."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.axe import violations
from tests.support.own_system import OwnSystem, own_system
from tests.support.plain_system import SIM

EQUAL = "No character is missing or doubled"
SLOW = replace(SIM, id="slow", aliases=(), engine={**SIM.engine, "token_s": 0.02, "output_tokens": 10_000})


@pytest.fixture(scope="module")
def system(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnSystem]:
    """One that has a model, too, whose answers take long enough to do something meanwhile."""
    with own_system(tmp_path_factory.mktemp("system"), engines=2, nodes=2, models=(SIM, SLOW)) as system:
        yield system


@pytest.fixture
def playground(page: Page) -> Page:
    page.get_by_role("link", name="Playground").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Playground")
    return page


def say(page: Page, text: str, tokens: int | None = None) -> Locator:
    """Send this, and return the answer as it is shown."""
    if tokens is not None:
        page.get_by_label("Most tokens").fill(str(tokens))
    page.get_by_label("Message").fill(text)
    page.get_by_role("button", name="Send").click()
    return page.locator(".turn.answer").last


def test_a_conversation_goes_on_and_is_told_by_its_figures(playground: Page) -> None:
    page = playground
    page.get_by_label("System").fill("Be brief.")
    answer = say(page, "Hello <script>alert(1)</script>", 20)
    expect(answer).to_contain_text(EQUAL)
    expect(answer).to_contain_text("first text after")
    expect(answer).to_contain_text("tokens/s")
    expect(answer).to_contain_text("20 of answer")
    first = answer.locator(".text").inner_text()
    page.get_by_label("Message").fill("And then?")
    page.get_by_label("Message").press("Control+Enter")
    answers = page.locator(".turn.answer")
    expect(answers).to_have_count(2)
    expect(answers.last).to_contain_text(EQUAL)
    expect(page.locator(".turn.asked").first).to_contain_text("<script>alert(1)</script>")
    expect(page.locator("#code")).to_contain_text(first.split("\n")[0][:40])
    assert violations(page) == []
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".turn")).to_have_count(0)


def test_a_connection_that_is_cut_goes_on_where_it_was(playground: Page) -> None:
    playground.get_by_label("Model").select_option("slow")
    answer = say(playground, "A long one", 200)
    expect(answer).to_contain_text("characters")
    switch = playground.get_by_label("Cut the connection")
    switch.check()
    expect(answer).to_contain_text("connection cut at character")
    switch.uncheck()
    expect(answer).to_contain_text("resumed at character")
    expect(answer).to_contain_text(EQUAL)
    cut, resumed = (text.rpartition(" ")[2] for text in answer.locator(".happened li").all_inner_texts()[:2])
    assert cut == resumed


def test_a_cut_that_was_asked_for_before_is_made_at_the_first_text_and_mended_by_itself(playground: Page) -> None:
    playground.get_by_label("Cut the connection").check()
    answer = say(playground, "A short one", 40)
    expect(answer).to_contain_text("connection cut at character")
    expect(answer).to_contain_text("resumed at character")
    expect(playground.get_by_label("Cut the connection")).not_to_be_checked()
    expect(answer).to_contain_text(EQUAL)


def test_stop_ends_the_job(playground: Page) -> None:
    playground.get_by_label("Model").select_option("slow")
    answer = say(playground, "For ever", 5_000)
    expect(answer).to_contain_text("characters")
    playground.get_by_role("button", name="Stop").click()
    expect(answer).to_contain_text("ended: cancelled")
    expect(playground.get_by_role("button", name="Send")).to_be_enabled()


MISTAKES = [
    ("Temperature", "9", "less than or equal to 2"),
    ("Top p", "much", "number"),
    ("Seed", "9007199254740993", "too many digits"),
    ("Stop strings", "a\nb\nc\nd\ne", "at most 4"),
    ("Top k", "1.5", "integer"),
    ("Tools, as JSON", "[{", "is not JSON"),
    ("Tools, as JSON", "{}", "has to be a list"),
    ("Tools, as JSON", '[{"type": "function"}]', "tools"),
]


def test_a_mistake_is_told_at_its_field(playground: Page) -> None:
    page = playground
    for details in page.locator("form details").all():
        details.evaluate("each => { each.open = true; }")
    page.get_by_label("Message").fill("Hello")
    for label, value, told in MISTAKES:
        before = page.get_by_label(label).input_value()
        page.get_by_label(label).fill(value)
        page.get_by_role("button", name="Send").click()
        field = page.locator(".field").filter(has=page.get_by_label(label))
        expect(field.get_by_role("alert")).to_contain_text(told)
        expect(page.locator("[aria-invalid]")).to_have_count(1)
        expect(page.get_by_label(label)).to_have_attribute("aria-invalid", "true")
        expect(page.get_by_label("Message")).to_have_value("Hello")
        page.get_by_label(label).fill(before)
    expect(page.locator(".turn")).to_have_count(0)


def test_an_empty_message_is_not_sent(playground: Page) -> None:
    playground.get_by_role("button", name="Send").click()
    expect(playground.get_by_label("Message")).to_have_attribute("aria-invalid", "true")


PROGRAMS = {"curl": ["bash"], "python": [sys.executable], "openai": [sys.executable]}


def test_the_same_is_a_program_that_runs(playground: Page, system: OwnSystem) -> None:
    page = playground
    page.get_by_label("System").fill('It\'s "quoted"\nEND\n\\ $HOME `id`')
    page.get_by_label("Seed").fill("7")
    text = say(page, "Grüße, 日本 🎉 '''", 30)
    expect(text).to_contain_text(EQUAL)
    answered = text.locator(".text").inner_text()
    page.get_by_role("button", name="New conversation").click()
    page.get_by_label("Message").fill("Grüße, 日本 🎉 '''")
    for language, program in PROGRAMS.items():
        page.get_by_label("Written for").select_option(language)
        ran = subprocess.run(
            program,
            input=page.locator("#code").inner_text(),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env={**os.environ, "INFERNET_KEY": system.key},
        )
        assert ran.returncode == 0, ran.stderr
        told = text_of_events(ran.stdout) if language == "curl" else ran.stdout
        assert told.strip() == answered.strip(), language


def text_of_events(stream: str) -> str:
    """What a stream's events say."""
    data = [line.removeprefix("data: ") for line in stream.split("\n") if line.startswith("data: {")]
    return "".join(json.loads(each)["text"] for each in data)
