"""The pictures and sounds in a dialogue: taken out of its messages, which name them by number from then on."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from cluster.errors import BadRequest
from cluster.messages.media import Given, MediumKind, reference

_KINDS: Mapping[str, MediumKind] = {
    "image_url": "image",
    "input_image": "image",
    "audio_url": "audio",
    "input_audio": "audio",
}
_TAKEN_AS = {"image": "image_url", "audio": "audio_url"}
_NOT_TAKEN = (
    "video_url",
    "image_embeds",
    "audio_embeds",
    "video_embeds",
    "prompt_embeds",
    "image_pil",
    "file",
)
"""Parts that are more than text, and that this API does not have."""


def take_media(messages: Sequence[Mapping[str, Any]]) -> list[Given]:
    """What the parts of these messages bring. In its place the parts get the number of each.

    A part's `uuid` goes: engines would keep what it brings under that name, for whoever names it next.
    Raises BadRequest, naming the part, for what brings nothing, or cannot be taken.
    """
    found: list[Given] = []
    for number, message in enumerate(messages):
        content = message.get("content")
        if isinstance(content, list):
            for place, part in enumerate(content):
                _take(part, f"messages[{number}].content[{place}]", found)
    return found


def _take(part: dict[str, Any], place: str, found: list[Given]) -> None:
    part.pop("uuid", None)
    said = part["type"]
    if not isinstance(said, str):
        raise BadRequest(f"{place}.type: must be a text")
    if said in _NOT_TAKEN:
        raise BadRequest(f"{place}.type: {said} is no part that this API has")
    if (kind := _KINDS.get(said)) is None:
        return
    found.append(_sound(part, place) if said == "input_audio" else _pointed_to(part, kind, place))
    part.pop("input_audio", None)
    part["type"] = taken_as = _TAKEN_AS[kind]
    part[taken_as] = {"url": reference(len(found) - 1)}


def _sound(part: Mapping[str, Any], place: str) -> Given:
    sound = part.get("input_audio")
    if not isinstance(sound, dict) or not isinstance(data := sound.get("data"), str):
        raise BadRequest(f"{place}.input_audio: needs data, in base64")
    return Given(f"{place}.input_audio.data", "audio", _decoded(data, f"{place}.input_audio.data"))


def _pointed_to(part: Mapping[str, Any], kind: MediumKind, place: str) -> Given:
    name = "image_url" if part["type"] == "input_image" else part["type"]
    said = part.get(name)
    url = said.get("url") if isinstance(said, dict) else said
    where = f"{place}.{name}.url" if isinstance(said, dict) else f"{place}.{name}"
    if not isinstance(url, str):
        raise BadRequest(f"{where}: needs a URL")
    match url.partition(":")[0].lower():
        case "data":
            return Given(where, kind, _of_data_url(url, where))
        case "http" | "https":
            return Given(where, kind, url=url)
        case _:
            raise BadRequest(f"{where}: must be a data:, http: or https: URL")


def _of_data_url(url: str, where: str) -> bytes:
    head, comma, data = url.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise BadRequest(f"{where}: a data: URL has to be data:TYPE;base64,DATA")
    return _decoded(data, where)


def _decoded(data: str, where: str) -> bytes:
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest(f"{where}: is not valid base64") from None
    if not content:
        raise BadRequest(f"{where}: is empty")
    return content
