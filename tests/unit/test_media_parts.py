"""The parts of messages that bring pictures and sounds: what is taken out of them, and what is refused by its place."""

import base64
import copy
import json
from typing import Any

import pytest

from api.http.media import take_media
from api.openai.requests import parse_chat
from cluster.errors import BadRequest
from cluster.messages.media import Given, number_of, reference
from tests.support.pictures import data_url, picture
from tests.support.plain_system import run

RED = picture("red")
SOUND = b"RIFF"
IN_BASE64 = base64.b64encode(SOUND).decode()
TEXT = {"type": "text", "text": "What is this?"}
WHERE = "messages[0].content[1]"


def sound(data: Any = IN_BASE64) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}


def image(url: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def messages(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [TEXT, *copy.deepcopy(parts)]}]


@pytest.mark.parametrize(
    ("part", "given", "taken_as"),
    [
        (image(data_url(RED)), Given(f"{WHERE}.image_url.url", "image", RED), "image_url"),
        ({"type": "image_url", "image_url": data_url(RED)}, Given(f"{WHERE}.image_url", "image", RED), "image_url"),
        ({"type": "input_image", "image_url": data_url(RED)}, Given(f"{WHERE}.image_url", "image", RED), "image_url"),
        (image("https://x.org/a"), Given(f"{WHERE}.image_url.url", "image", url="https://x.org/a"), "image_url"),
        (image("HTTP://x.org/a"), Given(f"{WHERE}.image_url.url", "image", url="HTTP://x.org/a"), "image_url"),
        (sound(), Given(f"{WHERE}.input_audio.data", "audio", SOUND), "audio_url"),
        (
            {"type": "audio_url", "audio_url": {"url": "data:audio/wav;base64,UklGRg=="}},
            Given(f"{WHERE}.audio_url.url", "audio", SOUND),
            "audio_url",
        ),
    ],
)
def test_a_part_brings_its_medium_and_keeps_a_number(part: Any, given: Given, taken_as: str) -> None:
    told = messages(part)
    assert take_media(told) == [given]
    assert told == messages({"type": taken_as, taken_as: {"url": "media:0"}})


def test_media_are_numbered_through_all_messages_and_texts_stay_as_they_are() -> None:
    told = [
        {"role": "system", "content": "Look"},
        *messages(image(data_url(RED)), sound()),
        *messages(image("http://x")),
    ]
    assert [given.kind for given in take_media(told)] == ["image", "audio", "image"]
    assert told[0] == {"role": "system", "content": "Look"}
    assert told[1]["content"][0] == TEXT
    assert told[2]["content"][1]["image_url"] == {"url": "media:2"}


def test_a_name_under_which_others_would_find_it_is_dropped() -> None:
    """vLLM would take whatever it has under that name for it, and look for URLs in parts that are texts."""
    told = messages({**image(data_url(RED)), "uuid": "mine"}, {**TEXT, "uuid": "x", "image_url": "http://x"})
    assert len(take_media(told)) == 1
    assert all("uuid" not in part for part in told[0]["content"])


@pytest.mark.parametrize(
    ("part", "place", "reason"),
    [
        (image("file:///etc/passwd"), "image_url.url", "must be a data:, http: or https: URL"),
        (image("ftp://x.org/a"), "image_url.url", "must be a data:, http: or https: URL"),
        (image("media:0"), "image_url.url", "must be a data:, http: or https: URL"),
        (image("cat.png"), "image_url.url", "must be a data:, http: or https: URL"),
        (image(None), "image_url.url", "needs a URL"),
        (image(7), "image_url.url", "needs a URL"),
        ({"type": "image_url"}, "image_url", "needs a URL"),
        ({"type": "image_url", "image_url": ["http://x"]}, "image_url", "needs a URL"),
        ({"type": "image_url", "uuid": "theirs"}, "image_url", "needs a URL"),
        (image("data:image/png;base64,%%%"), "image_url.url", "is not valid base64"),
        (image("data:image/png;base64,aGk"), "image_url.url", "is not valid base64"),
        (image("data:image/png;base64,ü"), "image_url.url", "is not valid base64"),
        (image("data:image/png;base64,"), "image_url.url", "is empty"),
        (image("data:,"), "image_url.url", "a data: URL has to be data:TYPE;base64,DATA"),
        (image("data:image/png;base64"), "image_url.url", "a data: URL has to be data:TYPE;base64,DATA"),
        (sound("%"), "input_audio.data", "is not valid base64"),
        (sound(None), "input_audio", "needs data, in base64"),
        ({"type": "input_audio"}, "input_audio", "needs data, in base64"),
        ({"type": "video_url", "video_url": {"url": "http://x"}}, "type", "video_url is no part that this API has"),
        ({"type": {"a": 1}}, "type", "must be a text"),
        ({"type": ["image_url"]}, "type", "must be a text"),
        ({"type": "image_embeds", "image_embeds": "x"}, "type", "image_embeds is no part that this API has"),
    ],
)
def test_what_brings_nothing_is_refused_by_its_place(part: Any, place: str, reason: str) -> None:
    with pytest.raises(BadRequest) as refused:
        take_media(messages(part))
    assert str(refused.value) == f"{WHERE}.{place}: {reason}"


def test_a_reference_is_read_back_and_nothing_else_is_one() -> None:
    assert number_of(reference(12)) == 12
    assert [number_of(url) for url in ("media:", "media:-1", "media:x", "http://x", "data:,", "media:²")] == [None] * 6


def test_a_form_names_its_media_and_the_order_brings_them() -> None:
    told = json.dumps({"model": "m", "messages": messages(image(data_url(RED)))}).encode()
    order = run(parse_chat(told).order(told))
    assert order.form is not None
    assert order.form.why == "messages[0].content"
    assert '"media:0"' in order.form.body
    assert "base64" not in order.form.body
    assert [each.content for each in order.media] == [RED]
