"""The log of a run: one file in the state folder that all processes of its machine write, from the start to the end."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actors.machine import logs
from actors.telemetry import observing
from actors.telemetry.observing import Observing
from api.cli.run import kept_logs
from cluster.errors import InfernetError
from cluster.release import VERSION

logger = logging.getLogger(__name__)


@contextmanager
def written(state: Path, observed: Observing = Observing()) -> Iterator[Path]:
    """The folder of the logs of the run that this process is; it writes there, too, why the run ended."""
    folder = kept_logs.begin(state)
    os.environ[logs.VARIABLE] = str(folder / kept_logs.NAME)
    observing.begin("infernet", observed)
    logger.info("version %s begins", VERSION)
    try:
        yield folder
    except InfernetError as error:
        logger.error("ends: %s", error)  # noqa: TRY400 - one line, as on the terminal
        raise
    except Exception:
        logger.exception("ends, and nobody foresaw it")
        raise
    else:
        logger.info("stopped")
    finally:
        logs.end()


def rotate() -> None:
    """Move the log away when it has become too long. To be called now and then by the process that began it."""
    logs.rotate(Path(os.environ[logs.VARIABLE]))
