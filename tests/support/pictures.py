"""Pictures for tests, each of one colour."""

import base64
import random
from io import BytesIO

from PIL import Image


def picture(colour: str = "red", width: int = 40, height: int = 30) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


def noise(side: int) -> bytes:
    """A picture of about three bytes a pixel: nothing in it repeats."""
    buffer = BytesIO()
    Image.frombytes("RGB", (side, side), random.Random(7).randbytes(side * side * 3)).save(buffer, "PNG")
    return buffer.getvalue()


def data_url(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()
