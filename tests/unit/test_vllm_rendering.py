"""What an engine says of a request before there is a job, where vLLM's own part is played."""

from types import SimpleNamespace
from typing import Any

import pytest

from actors.backends.vllm.frontend import Asked, RequestRefused
from actors.backends.vllm.rendering import check
from actors.backends.vllm.structured import Constraint
from cluster.messages.work import Form, Sampling

FORM = Form("chat", "{}")
REGEX = {"regex": "[a-z]+"}
OF_TOOLS = Constraint(REGEX)


class Engine(SimpleNamespace):
    """An engine that finds every constraint right, and remembers them."""

    def __init__(self, of_tools: Constraint | None) -> None:
        asked = Asked(inputs=({},), prompts=((1, 2, 3),), texts=("",), constraint=of_tools)
        super().__init__(frontend=SimpleNamespace(chat=lambda *_: asked), verified=[])

    def verify(self, constraint: Constraint) -> None:
        self.verified.append(constraint)

    def verify_sampling(self, _: Sampling) -> None:
        pass


def ask(engine: Any, sampling: Sampling, structured_outputs: bool) -> Asked:
    return check(engine, FORM, sampling, structured_outputs, media={})


CONSTRAINED = [
    (OF_TOOLS, Sampling(10)),
    (None, Sampling(10, others={"structured_outputs": REGEX})),
    (None, Sampling(10, json_schema="{}")),
]


@pytest.mark.parametrize(("of_tools", "sampling"), CONSTRAINED, ids=["tools", "structured_outputs", "schema"])
def test_a_constraint_is_refused_for_a_model_that_follows_none_and_judged_once_for_others(
    of_tools: Constraint | None, sampling: Sampling
) -> None:
    with pytest.raises(RequestRefused, match="this model has no structured outputs"):
        ask(Engine(of_tools), sampling, structured_outputs=False)
    engine = Engine(of_tools)
    ask(engine, sampling, structured_outputs=True)
    assert len(engine.verified) == 1


def test_what_follows_nothing_is_for_every_model() -> None:
    engine = Engine(None)
    assert ask(engine, Sampling(10), structured_outputs=False).prompts == ((1, 2, 3),)
    assert engine.verified == []
