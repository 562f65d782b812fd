"""The Playground with answers that the simulated model does not give: thoughts, calls of tools, failures, losses.

The page is the real one, and what the API answers it is played.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, expect

from tests.support.chromium import DESKTOP
from tests.support.own_system import OwnSystem

JOB = "job_00000000000000aa"
USAGE = {"prompt_tokens": 12, "completion_tokens": 1_234, "total_tokens": 1_246}
CALL = {"id": "call_1", "type": "function", "function": {"name": "get_capital", "arguments": '{"country": "Peru"}'}}


def events(*said: Mapping[str, Any], end: str = "data: [DONE]") -> str:
    """A stream's body; without an end it breaks."""
    texts = [f"id: {number}\ndata: {json.dumps(each)}\n\n" for number, each in enumerate(said, start=1)]
    return "".join([": ping\n\n", *texts, f"id: end\n{end}\n\n" if end else ""])


class Api:
    """What is answered to the page, and the bodies that it sent."""

    def __init__(self, page: Page) -> None:
        self.sent: list[dict[str, Any]] = []
        self.resumed: list[str | None] = []
        self.refusal: tuple[int, dict[str, str]] | None = None
        self.first = events({"text": "Hello"})
        self.rest: list[str] = []
        self.job: dict[str, Any] = {"id": JOB, "status": "completed", "result": result("Hello")}
        page.route("**/api/v1/jobs", self.submit)
        page.route(f"**/api/v1/jobs/{JOB}/stream", self.resume)
        page.route(f"**/api/v1/jobs/{JOB}", lambda route: route.fulfill(json=self.job))

    def submit(self, route: Route) -> None:
        if self.refusal is not None:
            status, body = self.refusal
            return route.fulfill(status=status, json=body)
        self.sent.append(route.request.post_data_json)
        headers = {"Content-Type": "text/event-stream", "X-Job-Id": JOB}
        return route.fulfill(body=self.first, headers=headers)

    def resume(self, route: Route) -> None:
        self.resumed.append(route.request.headers.get("last-event-id"))
        route.fulfill(body=self.rest.pop(0), headers={"Content-Type": "text/event-stream"})


def result(content: str, **more: Any) -> dict[str, Any]:
    return {"content": content, "finish_reason": "stop", "usage": USAGE, **more}


@pytest.fixture
def context(browser: Browser, system: OwnSystem) -> Iterator[BrowserContext]:
    """Answers that refuse are wanted here; what scripts complain of is not."""
    complaints: list[str] = []
    context = browser.new_context(base_url=system.url, viewport=DESKTOP)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    yield context
    context.close()
    assert complaints == []


@pytest.fixture
def api(page: Page) -> Api:
    page.goto("/playground")
    return Api(page)


def answered(page: Page, message: str = "Hello") -> Locator:
    page.get_by_label("Message").fill(message)
    page.get_by_role("button", name="Send").click()
    return page.locator(".turn.answer").last


def test_thoughts_and_calls_are_shown_as_such_and_what_the_tool_gave_goes_back(page: Page, api: Api) -> None:
    call = CALL["function"]
    assert isinstance(call, dict)
    api.first = events(
        {"reasoning": "Peru, "},
        {"reasoning": "then."},
        {"tool_calls": [{"index": 0, "id": "call_1", "name": call["name"]}]},
        {"tool_calls": [{"index": 0, "id": "call_1", "arguments": call["arguments"]}]},
    )
    api.job = {"id": JOB, "status": "completed", "result": result("", reasoning="Peru, then.", tool_calls=[CALL])}
    answer = answered(page, "What is the capital of Peru?")
    expect(answer.locator(".thoughts")).to_contain_text("Peru, then.")
    expect(answer).to_contain_text('Calls get_capital with {"country": "Peru"}')
    expect(answer).to_contain_text("No character is missing or doubled")
    expect(answer).to_contain_text("12 tokens of prompt, 1,234 of answer")

    page.get_by_role("button", name="Send").click()
    expect(page.get_by_label("Result of get_capital")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Result of get_capital").fill("Lima")
    api.first = events({"text": "Lima."})
    api.job = {"id": JOB, "status": "completed", "result": result("Lima.")}
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".turn.answer").last).to_contain_text("Lima.")
    assert api.sent[1]["messages"] == [
        {"role": "user", "content": "What is the capital of Peru?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Lima"},
    ]


def test_a_stream_that_breaks_goes_on_by_itself(page: Page, api: Api) -> None:
    api.first = events({"text": "Hel"}, end="")
    api.rest = [events(end=""), 'id: 5\ndata: {"text": "lo"}\n\nid: end\ndata: [DONE]\n\n']
    answer = answered(page)
    expect(answer).to_contain_text("connection lost at character 1")
    expect(answer).to_contain_text("No character is missing or doubled")
    assert api.resumed == ["1", "1"]


def test_a_difference_is_told(page: Page, api: Api) -> None:
    api.first = events({"text": "Hello"}, {"text": "Hello"})
    expect(answered(page)).to_contain_text("they differ")


def test_why_a_job_failed_is_told(page: Page, api: Api) -> None:
    api.first = events({"text": "Hel"}, end='data: {"error": "engine_error", "message": "CUDA <b>out</b> of memory"}')
    api.job = {"id": JOB, "status": "failed", "error": "engine_error", "error_message": "CUDA out of memory"}
    answer = answered(page)
    expect(answer).to_contain_text("CUDA <b>out</b> of memory")
    expect(answer).to_contain_text("ended: engine_error")


REFUSALS = [
    (400, "bad_request", "tools[0].function.name: is required", "tools"),
    (400, "bad_request", "messages[1].content: must be a text", "message"),
    (400, "bad_request", "messages[0].content: must be a text", "system"),
    (400, "context_length_exceeded", "This model's maximum context length is 8 tokens", "message"),
    (404, "model_not_found", "Model sim is not registered on the network", "model"),
    (503, "no_capacity", "The queue is full", "model"),
    (402, "budget_exceeded", "The key's budget has no room", ""),
    (429, "rate_limited", "Too many requests", ""),
    (400, "bad_request", "cut: is no field of the API's", ""),
    (401, "unauthorized", "Invalid or expired bearer token", ""),
]


def test_a_refusal_is_told_in_its_words_where_it_belongs(page: Page, api: Api) -> None:
    page.get_by_label("System").fill("Be brief.")
    page.get_by_label("Message").fill("Hello")
    for status, code, message, field in REFUSALS:
        api.refusal = (status, {"error": code, "error_message": message})
        page.get_by_role("button", name="Send").click()
        place = page.locator(f"#{field}-problem" if field else "#refused")
        expect(place).to_contain_text("sign in again" if status == 401 else message)
        expect(page.get_by_label("Message")).to_have_value("Hello")
        expect(page.get_by_role("button", name="Send")).to_be_enabled()


def test_a_server_that_cannot_be_reached_is_told(page: Page, api: Api) -> None:
    page.unroute("**/api/v1/jobs")
    page.route("**/api/v1/jobs", lambda route: route.abort())
    page.get_by_label("Message").fill("Hello")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#refused")).to_contain_text("cannot be reached")
