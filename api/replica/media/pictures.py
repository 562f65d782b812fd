"""Whether bytes are a picture, and one that may be looked at, by its header alone."""

from io import BytesIO

from PIL import Image, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""Other formats that Pillow reads have had their faults, or start programs."""


class NoPicture(Exception):
    """The message says why, in words for the client."""


def check(content: bytes, max_pixels: int) -> None:
    """Raises NoPicture. That all of the picture is there is found out by who looks at it."""
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as picture:
            width, height = picture.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise NoPicture(f"has more than {max_pixels} pixels") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        raise NoPicture(f"is no picture in one of the formats {', '.join(FORMATS)}") from None
    if width * height > max_pixels:
        raise NoPicture(f"has more than {max_pixels} pixels")
