"""JSON answers, written once and not checked again."""

from typing import Any

import msgspec
from starlette.responses import JSONResponse

_encode = msgspec.json.Encoder().encode


class Answer(JSONResponse):
    """A body that is what it is to be. Its content is made of what JSON knows."""

    def render(self, content: Any) -> bytes:
        return _encode(content)
