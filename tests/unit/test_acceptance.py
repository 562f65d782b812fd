"""Why a job is not accepted."""

from typing import cast

import pytest
from msgspec.structs import replace

from cluster import acceptance
from cluster.catalogue import Adapter, Catalogue, Model
from cluster.errors import ContextLengthExceeded, InfernetError, ModelNotFound, NoCapacity, NodeNotFound
from cluster.fleet.fleet import Fleet
from cluster.ids import AccountId, JobId, KeyId, NodeId
from cluster.leases.leases import Leases
from cluster.messages.work import ChatMessage, Form, Job, Sampling
from cluster.timing import Timing

CATALOGUE = Catalogue((Model(id="m", aliases=("alias",), max_queue=3),))
N0, N1 = NodeId("node_0"), NodeId("node_1")


class Served:
    """What the rules ask about the model."""

    def __init__(self, context: int | None, without: str, refusing: str) -> None:
        self.context = context
        self.without = without
        self.refusing = refusing

    def context_length(self, model_id: str) -> int | None:
        assert model_id == "m"
        return self.context

    def lacks(self, model_id: str, adapter: str) -> bool:
        return model_id == "m" and adapter in (self.without, self.refusing)

    def cannot_load(self, model_id: str, adapter: str) -> bool:
        return model_id == "m" and adapter == self.refusing


class Machines:
    """What the rules ask a fleet about: here, the one node `N0` serves the model until `until_s`."""

    def __init__(
        self,
        context: int | None = None,
        until_s: float = 10.0,
        too_small: str | None = None,
        without: str = "none",
        refusing: str = "none",
    ) -> None:
        self.models = Served(context, without, refusing)
        self.until_s = until_s
        self.too_small = too_small

    def knows_node(self, node_id: NodeId) -> bool:
        return node_id == N0

    def can_serve(self, model_id: str, node_id: NodeId | None, now_s: float) -> bool:
        return model_id == "m" and node_id in (None, N0) and now_s < self.until_s

    def too_small_gpus(self, model_id: str) -> str | None:
        return self.too_small


def job(model: str = "m", prompt_tokens: int | None = None, max_tokens: int = 10, node_id: NodeId | None = None) -> Job:
    messages = (ChatMessage("user", "Hello"),)
    sampling = Sampling(max_tokens=max_tokens)
    return Job(JobId("j"), AccountId("a"), KeyId("k"), model, messages, sampling, 0, 0, node_id, {}, prompt_tokens)


def misfit(job: Job, context: int | None = None) -> InfernetError | None:
    return acceptance.misfit(job, CATALOGUE, cast(Fleet, Machines(context)))


def lack(job: Job, waiting: int = 0, now_s: float = 0.0, too_small: str | None = None) -> NoCapacity | None:
    machines = Machines(too_small=too_small)
    return acceptance.lack_of_capacity(job, CATALOGUE, cast(Fleet, machines), waiting, now_s)


def told(error: InfernetError | None) -> tuple[type[InfernetError], str]:
    assert error is not None
    return type(error), error.message


def test_a_model_that_is_not_served_is_not_found() -> None:
    assert told(misfit(job("other"))) == (ModelNotFound, "Model other is not registered on the network")


@pytest.mark.parametrize("model", ["m", "alias"])
def test_what_fits_is_accepted(model: str) -> None:
    assert misfit(job(model)) is None
    assert misfit(job(model, prompt_tokens=90, max_tokens=10), context=100) is None
    assert misfit(job(model, max_tokens=100, node_id=N0), context=100) is None
    assert misfit(job(model, prompt_tokens=10**6)) is None


def test_what_is_longer_than_the_context_is_refused() -> None:
    assert told(misfit(job(prompt_tokens=91), context=100)) == (
        ContextLengthExceeded,
        "max_tokens: This model's maximum context length is 100 tokens. However, you requested 101 tokens (91 in the "
        "messages, 10 in the completion). Please reduce the length of the messages or completion.",
    )
    assert told(misfit(job(max_tokens=101), context=100)) == (
        ContextLengthExceeded,
        "max_tokens: This model's maximum context length is 100 tokens. However, you requested 101 tokens in the "
        "completion. Please reduce the length of the messages or completion.",
    )


def test_many_prompts_of_a_pooling_model_are_together_longer_than_its_context() -> None:
    pooling = replace(job(prompt_tokens=5000, max_tokens=0), form=Form("embedding", "{}", "input", 500))
    assert misfit(pooling, context=64) is None
    assert misfit(replace(pooling, form=None), context=64) is not None


def test_a_node_that_is_not_known_is_not_found() -> None:
    assert told(misfit(job(node_id=N1))) == (NodeNotFound, "node_id: no node node_1")


def test_without_an_engine_there_is_no_capacity() -> None:
    refusal = (NoCapacity, "No nodes available with model m")
    assert lack(job()) is None
    assert lack(job("alias", node_id=N0)) is None
    assert told(lack(job(node_id=N1))) == refusal
    assert told(lack(job(), now_s=10.0)) == refusal
    too_small = (NoCapacity, "No nodes available with model m: it needs larger GPUs")
    assert told(lack(job(), now_s=10.0, too_small="needs larger GPUs")) == too_small


def test_a_new_adapter_is_refused_until_all_engines_have_it() -> None:
    machines = cast(Fleet, Machines(without="new"))
    refusal = acceptance.lack_of_capacity(replace(job(), adapter="new"), CATALOGUE, machines, 0, 0.0)
    assert told(refusal) == (NoCapacity, "Adapter new is new: not all nodes with model m have it yet")
    for adapter in ("", "old"):
        assert acceptance.lack_of_capacity(replace(job(), adapter=adapter), CATALOGUE, machines, 0, 0.0) is None


def test_of_an_adapter_that_engines_cannot_load_no_folder_is_told() -> None:
    machines = cast(Fleet, Machines(refusing="bad"))
    refusal = acceptance.lack_of_capacity(replace(job(), adapter="bad"), CATALOGUE, machines, 0, 0.0)
    assert told(refusal) == (NoCapacity, "Adapter bad cannot be loaded: the list of models tells why")


def test_an_adapter_that_its_model_has_not_is_not_registered() -> None:
    known = replace(CATALOGUE.models[0], adapters=(Adapter("german"),))
    catalogue = Catalogue((known, *CATALOGUE.models[1:], Model("other", adapters=(Adapter("foreign"),))))
    for adapter, refusal in (("german", None), ("gone", ModelNotFound), ("foreign", ModelNotFound)):
        asked = replace(job(), adapter=adapter)
        misfit = acceptance.misfit(asked, catalogue, cast(Fleet, Machines()))
        assert (None if misfit is None else type(misfit)) == refusal


def test_who_comes_while_the_system_shuts_down_is_told_so_unless_it_never_could_be_served() -> None:
    leases = Leases(Fleet(CATALOGUE, [], 0.0), Timing())
    leases.quiescent = True
    refused = acceptance.refusals([job(), replace(job("other"), id=JobId("k"))], CATALOGUE, leases, 0.0)
    assert {job_id: told(error) for job_id, error in refused.items()} == {
        "j": (NoCapacity, "The network is shutting down"),
        "k": (ModelNotFound, "Model other is not registered on the network"),
    }


def test_a_full_queue_takes_no_more() -> None:
    assert lack(job(), waiting=2) is None
    assert told(lack(job(), waiting=3)) == (NoCapacity, "The queue of model m is full")
