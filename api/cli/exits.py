"""How a command of the command line ends: its exit code, and the one line that says why it failed."""

import sys
from collections.abc import Callable

import httpx

from api.cli.render import one_line
from api.cli.responses import RemoteError
from cluster.errors import ConfigError, InfernetError

INTERRUPTED = 130
FAILED = 1


def code_of(command: Callable[[], object]) -> int:
    """Run the command. Success is exit code 0 and Ctrl-C 130.

    An expected failure is 1, and a line on stderr, or a line for each mistake in settings.
    """
    try:
        command()
    except KeyboardInterrupt:
        return INTERRUPTED
    except ConfigError as error:
        for mistake in error.message.splitlines():
            say(mistake)
        return FAILED
    except (InfernetError, RemoteError, httpx.HTTPError, OSError) as error:
        say(_reason(error))
        return FAILED
    return 0


def say(reason: str) -> None:
    """Tell why it failed."""
    print("infernet:", one_line(reason), file=sys.stderr, flush=True)


def _reason(error: Exception) -> str:
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return f"Cannot reach {error.request.url}: {error}"
        case httpx.RequestError():
            return f"Lost the connection to {error.request.url}: {str(error) or type(error).__name__}"
        case OSError(strerror=str(reason), filename=str(path)):
            return f"{path}: {reason}"
        case _:
            return str(error)
