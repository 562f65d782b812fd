"""What `infernet up` shows of the models while it serves."""

import asyncio
import time

from actors.directory import SCHEDULER, SUPERVISOR
from actors.wire.calls import Unreachable
from api.cli.render import console
from cluster.messages.machines import ModelView

_LOOK_S = 0.5
# Not the id of a model, so that what is told of it can be kept beside what is told of them.
_SCHEDULER = ""


async def tell_models() -> None:
    """Say of each model when it is ready, or why it is not, and when nobody can say that. Ends only when cancelled."""
    began_s = time.monotonic()
    told: dict[str, str] = {}

    def tell(what: str, line: str) -> None:
        if told.get(what) != line:
            told[what] = line
            console.print(f"{line} ({time.monotonic() - began_s:.1f} s)")

    while True:
        try:
            for view in await SCHEDULER.at().models():
                tell(view.id, _model_line(view))
            told.pop(_SCHEDULER, None)
        except Unreachable as error:
            # What is only shown is no reason to end: the Supervisor brings back what is missing.
            tell(_SCHEDULER, f"The models' states are not known: {error}; asking again")
        await asyncio.sleep(_LOOK_S)


def _model_line(view: ModelView) -> str:
    if view.state == "idle":
        return f"Model {view.id}: idle: its next job starts it"
    if view.state == "failed":
        return f"Model {view.id}: failed: {view.message}"
    if view.state == "starting" and not view.fits:
        return f"Model {view.id}: no room yet: {view.message}"
    return f"Model {view.id}: {view.state}"
