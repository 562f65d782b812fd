"""What `infernet up` shows while it serves."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence

from rich.status import Status
from rich.text import Text

from actors.directory import SCHEDULER, SUPERVISOR
from actors.wire.calls import Unreachable
from api.cli.render import console
from api.cli.run import run_log
from cluster.messages.machines import ModelView

logger = logging.getLogger(__name__)

_LOOK_S = 0.5
_FRAMES = 8  # a second, of what turns on a terminal while something loads
_LOOK_AT_LOG_S = 5.0
# Not the id of a model, so that what is told of it can be kept beside what is told of them.
_SCHEDULER = ""


async def tell_news() -> None:
    """Say of each model when it is ready, or why it is not, and what has been started again. Ends only when cancelled.

    Meanwhile the log is kept from growing without end.
    """
    news = _News()
    await asyncio.gather(_tell_models(news), _tell_restarts(news), _rotate_log())


class _News:
    """Lines for the terminal and for the log, each when it is new."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._told: dict[str, str] = {}

    def tell(self, about: str, line: str) -> None:
        if self._told.get(about) != line:
            self._told[about] = line
            logger.info("%s", line)
            console.print(f"{line} ({time.monotonic() - self._began_s:.1f} s)")

    def forget(self, about: str) -> None:
        self._told.pop(about, None)


class _Loading:
    """What the models that start are doing now, below the lines, as long as any does. Nothing where nobody looks."""

    def __init__(self) -> None:
        self._status: Status | None = None

    def show(self, views: Sequence[ModelView]) -> None:
        doing = [f"{view.id}: {view.starting}" for view in views if view.state == "starting" and view.starting]
        if not doing or not console.is_terminal:
            self.end()
            return
        text = Text("; ".join(doing), no_wrap=True, overflow="ellipsis")
        if self._status is None:
            self._status = Status(text, console=console, refresh_per_second=_FRAMES)
            self._status.start()
        else:
            self._status.update(text)

    def end(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


async def _tell_models(news: _News) -> None:
    loading = _Loading()
    try:
        await _tell_models_to(news, loading)
    finally:
        loading.end()


async def _tell_models_to(news: _News, loading: _Loading) -> None:
    while True:
        try:
            views = await SCHEDULER.at().models()
            for view in views:
                news.tell(view.id, _model_line(view))
            loading.show(views)
            news.forget(_SCHEDULER)
        except Unreachable as error:
            # What is only shown is no reason to end: the Supervisor brings back what is missing.
            news.tell(_SCHEDULER, f"The models' states are not known: {error}; asking again")
        await asyncio.sleep(_LOOK_S)


async def _tell_restarts(news: _News) -> None:
    before: Mapping[str, int] | None = None
    while True:
        restarts = await _restarts()
        if restarts is not None:
            for actor, count in restarts.items():
                if before is not None and count > before.get(actor, 0):
                    news.tell(f"restarts of {actor}", f"The {actor} has ended, and was started again: {count} by now")
            before = restarts
        await asyncio.sleep(_LOOK_S)


async def _restarts() -> Mapping[str, int] | None:
    """None while nobody can say: the one who counts may be the one who has ended."""
    try:
        return await SUPERVISOR.at().restarts()
    except Unreachable:
        return None


async def _rotate_log() -> None:
    while True:
        run_log.rotate()
        await asyncio.sleep(_LOOK_AT_LOG_S)


def _model_line(view: ModelView) -> str:
    if view.state == "idle":
        return f"Model {view.id}: idle: its next job starts it"
    if view.state == "failed":
        return f"Model {view.id}: failed: {view.message}"
    if view.state == "starting" and not view.fits:
        return f"Model {view.id}: no room yet: {view.message}"
    return f"Model {view.id}: {view.state}"
