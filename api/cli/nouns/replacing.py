"""A model's replicas, one of which after the other makes room for a new one."""

import time

from api.cli.client import Client
from api.cli.nouns.addressing import path_of
from api.cli.nouns.countdown import Countdown
from api.cli.responses import Json
from cluster.errors import JobTimeout

_LOOK_S = 0.5


def wait_until_replaced(client: Client, model_id: str, timeout_s: float | None, shown: bool) -> Json:
    """The model, once none of its replicas is to be replaced and as many are ready as are wanted.

    Raises JobTimeout after `timeout_s`, with what was the matter last.
    """
    with Countdown(f"Replacing {model_id}", "replicas replaced", shown) as countdown:
        give_up_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            model = client.read(path_of(model_id))
            old, new = _old(model), max(int(model["wanted"]) - int(model["replicas"]), 0)
            countdown.tell(max(old, new), _words(model, old))
            if old == 0 and new == 0:
                return model
            if give_up_s is not None and time.monotonic() >= give_up_s:
                raise JobTimeout(f"{model_id} is not through after {timeout_s:g} s, and goes on: {_words(model, old)}")
            time.sleep(_LOOK_S)


def _old(model: Json) -> int:
    return sum(bool(engine.get("outdated") or engine.get("retiring")) for engine in model.get("engines", []))


def _words(model: Json, old: int) -> str:
    said = f"{old} to be replaced, {model['replicas']} of {model['wanted']} ready"
    trouble = model.get("state_message") or model.get("starting")
    return f"{said}; {trouble}" if trouble else said
