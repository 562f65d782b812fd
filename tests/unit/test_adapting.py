"""Which adapters engines are to know, which of them lack one, and when one has to be replaced for it."""

from msgspec.structs import replace

from cluster.added import overruled, with_added
from cluster.catalogue import Adapter, Catalogue, Model, Replicas
from cluster.ids import EngineId, NodeId
from cluster.messages.machines import AdapterRefusal, EngineReport, Hardware, Make, ModelView, NodeReport
from cluster.messages.models import ModelSettings
from tests.support.seats import SeatedFleet

N0, N1 = NodeId("node_0"), NodeId("node_1")
POET = Adapter("poet", "org/poet")
PIRATE = Adapter("pirate", "org/pirate", added_ms=1)
M = Model(id="m", source="s", gpus=1, cpus=1.0, adapters=(POET,), replicas=Replicas(2, 2))


class Stage:
    """Two machines, and an engine of the model on each."""

    def __init__(self) -> None:
        self.fleet = SeatedFleet(Catalogue((M,)), (), 0.0)
        self.gpus = 1
        self.now_s = 0.0
        self.reports: dict[EngineId, EngineReport] = {}
        self.hear()
        self.plan()
        for node in (N0, N1):
            for order in self.fleet.orders(node).engines:
                known = () if order.adapters is None else tuple(each.number for each in order.adapters)
                self.tell(order.id, node, *known)

    def tell(self, engine_id: EngineId, node: NodeId, *known: int, refused: tuple[AdapterRefusal, ...] = ()) -> None:
        self.reports[engine_id] = EngineReport(
            engine_id, "m", node, "ready", slots=4, context_length=128, known=known, refused=refused
        )
        self.hear()

    def hear(self) -> None:
        for node in (N0, N1):
            engines = tuple(report for report in self.reports.values() if report.node_id == node)
            report = NodeReport(node, Hardware(str(node), 8.0, 1 << 30, self.gpus), engines)
            self.fleet.report(report, self.now_s, int(self.now_s * 1000))

    def plan(self) -> None:
        self.now_s += 1.0
        self.hear()
        self.fleet.plan(self.now_s, lambda model: 0)

    def set(self, *adapters: Adapter, removed: tuple[Adapter, ...] = ()) -> bool:
        return self.fleet.models.set([ModelSettings("m", adapters=adapters, removed=removed)])

    def ordered(self) -> dict[EngineId, list[str] | None]:
        orders = [order for node in (N0, N1) for order in self.fleet.orders(node).engines]
        return {o.id: None if o.adapters is None else [each.id for each in o.adapters] for o in orders}

    def view(self) -> ModelView:
        return self.fleet.models.views({}, self.now_s)[0]

    def message(self, adapter: str) -> str:
        return next(each.message for each in self.view().adapters if each.id == adapter)

    def lacks(self, adapter: str) -> bool:
        return self.fleet.models.lacks("m", adapter)

    @property
    def engines(self) -> tuple[EngineId, EngineId]:
        one, other = self.reports
        return one, other


def test_engines_are_told_of_what_is_wanted_until_they_tell_the_same() -> None:
    stage = Stage()
    one, other = stage.engines
    assert stage.ordered() == {one: None, other: None}
    assert stage.set(PIRATE)
    assert not stage.set(PIRATE)
    both = ["poet", "pirate"]
    assert stage.ordered() == {one: both, other: both}
    stage.tell(one, N0, POET.number, PIRATE.number)
    assert stage.ordered() == {one: None, other: both}
    stage.tell(other, N1, POET.number, refused=(AdapterRefusal(PIRATE.number, "torn"),))
    assert stage.ordered() == {one: None, other: None}
    stage.set(removed=(PIRATE,))  # a job for it may be open
    assert stage.ordered() == {one: None, other: None}
    stage.set()
    assert stage.ordered() == {one: ["poet"], other: ["poet"]}


def test_one_is_lacking_until_every_engine_that_serves_knows_it() -> None:
    stage = Stage()
    one, other = stage.engines
    stage.set(PIRATE)
    assert stage.lacks("pirate")
    assert not stage.lacks("poet")
    assert not stage.lacks("unheard of")
    assert stage.fleet.models.awaits("m", "pirate")
    assert stage.message("pirate").startswith("It is new")
    stage.tell(one, N0, POET.number, PIRATE.number)
    assert stage.lacks("pirate")
    stage.tell(other, N1, POET.number, PIRATE.number)
    assert not stage.lacks("pirate")
    assert stage.message("pirate") == ""
    stage.set()
    assert not stage.lacks("pirate")


def test_what_one_engine_cannot_load_is_told_and_one_that_goes_is_asked_no_more() -> None:
    stage = Stage()
    one, other = stage.engines
    stage.set(PIRATE)
    stage.tell(one, N0, POET.number, PIRATE.number)
    stage.tell(other, N1, POET.number, refused=(AdapterRefusal(PIRATE.number, "torn"),))
    assert stage.lacks("pirate")
    assert stage.fleet.models.cannot_load("m", "pirate")
    assert not stage.fleet.models.awaits("m", "pirate")
    assert stage.message("pirate") == f"It cannot be loaded by {other}: torn"
    assert [replica.is_outdated for replica in stage.fleet.replicas] == [False, False]
    stage.fleet.drain(N1, True, stage.now_s)
    assert not stage.lacks("pirate")
    stage.fleet.drop(other)
    assert not stage.lacks("pirate")


def test_an_engine_that_is_outgrown_is_replaced_and_no_longer_once_the_adapter_is_removed() -> None:
    stage = Stage()
    outgrown = (AdapterRefusal(PIRATE.number, "made without room", outgrown=True),)
    stage.set(PIRATE)
    for engine_id, node in zip(stage.engines, (N0, N1), strict=True):
        stage.tell(engine_id, node, POET.number, refused=outgrown)
    assert [replica.is_outdated for replica in stage.fleet.replicas] == [True, True]
    assert stage.message("pirate") == "Its model's engines are being replaced for it: made without room"
    assert "2 of 2 replicas were made without room for an adapter" in stage.view().scaling
    stage.gpus = 2
    stage.plan()
    stage.plan()
    assert len(stage.ordered()) == 3  # one more, before an outdated one goes
    stage.set()
    stage.hear()
    assert not any(replica.is_outdated for replica in stage.fleet.replicas)
    assert "replica" in stage.view().scaling
    stage.plan()
    assert len(stage.ordered()) == 2


def test_an_engine_of_other_settings_is_not_called_outgrown() -> None:
    stage = Stage()
    one, _ = stage.engines
    made_of = Make("before", "before", 1, 1.0)
    refused = (AdapterRefusal(POET.number, "made without room", outgrown=True),)
    stage.reports[one] = replace(stage.reports[one], made_of=made_of, known=(), refused=refused)
    stage.hear()
    assert "1 of 2 replicas is of the settings before" in stage.view().scaling


def test_what_was_added_stands_beside_the_settings_which_go_before() -> None:
    other = Model(id="other", aliases=("alias",), source="s")
    added = [Adapter(name, "org/x", added_ms=1) for name in ("new", "poet", "other", "alias")]
    admins = [ModelSettings("m", adapters=tuple(added)), ModelSettings("gone", adapters=(PIRATE,))]
    models = with_added((M, other), admins)
    assert [each.id for each in models[0].adapters] == ["poet", "new"]
    assert models[1] == other
    assert {each.adapter.id: each.reason for each in overruled((M, other), admins)} == {
        "poet": "poet is an adapter of m in the settings",
        "other": "other is a model in the settings",
        "alias": "alias is an alias of other in the settings",
    }
    for changed in ({"machines": 2, "gpus": 8}, {"engine": {"runner": "pooling"}}, {"engine": {"enable_lora": False}}):
        assert with_added((replace(M, **changed),), admins) == (replace(M, **changed),)
