"""What an error says, in one line: for a log, a report or a client."""

_MOST_CHARACTERS = 500


def one_line(error: BaseException) -> str:
    """What `error` says, short and on one line."""
    message = " ".join(_message(error).split())
    return f"{type(error).__name__}: {message}"[:_MOST_CHARACTERS] if message else type(error).__name__


def _message(error: BaseException) -> str:
    errors = getattr(error, "errors", None)  # pydantic adds the whole input and a link: only its reasons
    if not callable(errors):
        return str(error)
    return "; ".join(str(each["msg"]).removeprefix("Value error, ") for each in errors())
