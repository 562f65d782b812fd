"""Text as files and environments really have it: with quotes, blanks, line ends and marks around it."""

_QUOTES = ('"', "'")
_BLANK = " \t\r\n\v\f\ufeff\u00a0"


def plain(text: str) -> str:
    """The text without what is around it: blanks, line ends, one pair of quotes, and the mark at a file's beginning."""
    text = text.strip(_BLANK)
    if len(text) > 1 and text[0] in _QUOTES and text[-1] == text[0]:
        return text[1:-1].strip(_BLANK)
    return text
