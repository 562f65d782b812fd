"""How a command of the command line ends: its exit code, and the one line that says why it failed.

docs/cli.md lists the codes: scripts go by them.
"""

import sys
from collections.abc import Callable, Mapping

import httpx
from typer.exceptions import Abort, TyperException

from api.cli.render import one_line
from api.cli.responses import RemoteError
from cluster.errors import ConfigError, InfernetError

FAILED = 1
USAGE = 2
UNREACHED = 3
NOT_FOUND = 4
NOT_ALLOWED = 5
LATER = 6
REFUSED = 7
INTERRUPTED = 130

_OF_STATUS: Mapping[int | None, int] = {
    400: REFUSED,
    401: NOT_ALLOWED,
    402: REFUSED,
    403: NOT_ALLOWED,
    404: NOT_FOUND,
    409: REFUSED,
    413: REFUSED,
    429: LATER,
    503: LATER,
}


def code_of(command: Callable[[], object]) -> int:
    """Run the command. Success is exit code 0, or what the command gives as one, and Ctrl-C 130.

    An expected failure is a line on stderr, or a line for each mistake in settings.
    """
    try:
        ended = command()
    except (KeyboardInterrupt, Abort):
        return INTERRUPTED
    except ConfigError as error:
        for mistake in error.message.splitlines():
            say(mistake)
        return FAILED
    except (InfernetError, RemoteError, TyperException, httpx.HTTPError, OSError) as error:
        say(_reason(error))
        return code(error)
    return ended if isinstance(ended, int) else 0


def say(reason: str) -> None:
    """Tell why it failed."""
    print("infernet:", one_line(reason), file=sys.stderr, flush=True)


def code(error: Exception) -> int:
    match error:
        case RemoteError() | InfernetError():
            return _OF_STATUS.get(error.status, FAILED)
        case TyperException():
            return error.exit_code
        case httpx.HTTPError():
            return UNREACHED
        case _:
            return FAILED


def _reason(error: Exception) -> str:
    match error:
        case TyperException():
            return _usage(error)
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return f"Cannot reach {error.request.url}: {error}"
        case httpx.RequestError():
            return f"Lost the connection to {error.request.url}: {str(error) or type(error).__name__}"
        case OSError(strerror=str(reason), filename=str(path)):
            return f"{path}: {reason}"
        case _:
            return str(error)


def _usage(error: TyperException) -> str:
    """What was not understood, and where it says what would be."""
    reason = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    return reason if context is None else f"{reason} (`{context.command_path} --help` says more)"
