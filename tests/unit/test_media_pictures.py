"""Which bytes count as a picture, by their header."""

import struct
import zlib
from io import BytesIO

import pytest
from PIL import Image

from api.replica.media.pictures import FORMATS, NoPicture, check
from tests.support.pictures import picture

MOST = 1200


def huge(width: int, height: int) -> bytes:
    """A PNG that says it is so large, and has nothing in it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    told = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(told)


@pytest.mark.parametrize("format_", FORMATS)
def test_formats_that_are_taken(format_: str) -> None:
    buffer = BytesIO()
    Image.new("RGB", (40, 30)).save(buffer, format_)
    check(buffer.getvalue(), MOST)


@pytest.mark.parametrize("format_", ["PPM", "TGA", "EPS", "PCX", "ICO"])
def test_others_are_not(format_: str) -> None:
    buffer = BytesIO()
    Image.new("RGB", (40, 30)).save(buffer, format_)
    with pytest.raises(NoPicture, match="is no picture in one of the formats"):
        check(buffer.getvalue(), MOST)


@pytest.mark.parametrize(
    "content", [b"", b"x", b"\x89PNG\r\n\x1a\n", picture()[:20], b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<svg/>"]
)
def test_what_is_no_picture(content: bytes) -> None:
    with pytest.raises(NoPicture, match="is no picture in one of the formats"):
        check(content, MOST)


@pytest.mark.parametrize("size", [(41, 30), (1201, 1), (10_000, 10_000), (60_000, 60_000)])
def test_no_more_pixels_than_are_allowed(size: tuple[int, int]) -> None:
    with pytest.raises(NoPicture, match="has more than 1200 pixels"):
        check(huge(*size), MOST)
