"""LoRA adapters: their names, files and numbers, what vLLM is told of them, and which engines have them."""

import json
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from actors.backends.base import Adapted
from actors.backends.vllm.adapter_files import AdapterFiles, AdapterRefused, AdaptersRead, read_all
from actors.backends.vllm.adapters import Adapters, engine_args
from actors.backends.vllm.failures import FailureLog
from cluster.catalogue import Adapter, Catalogue, Model, Price
from cluster.errors import ConfigError, ModelNotFound
from cluster.fleet.adapters import CROWD, LoadedAdapters
from cluster.fleet.makes import make_of
from cluster.ids import EngineId, NodeId
from cluster.messages.machines import AdapterRefusal
from cluster.placement import Candidate, Ranking
from cluster.settings.layers import parse
from tests.support.lora import CAPITALS, make_adapter

MODEL = Model("m", source="org/m", price=Price(1.0, 2.0))


def with_adapters(count: int, **engine: Any) -> Model:
    adapters = tuple(Adapter(f"a{number}", f"org/a{number}") for number in range(count))
    return replace(MODEL, adapters=adapters, engine=engine)


# The catalogue -------------------------------------------------------------------------------------------------------


def test_an_adapter_is_found_by_its_id_with_its_model_and_its_price() -> None:
    own, none = Adapter("own", "org/own", Price(5.0, 6.0)), Adapter("none", "org/none")
    catalogue = Catalogue((replace(MODEL, aliases=("alias",), adapters=(own, none)),))
    found = [catalogue.choice(name) for name in ("m", "alias", "own", "none")]
    assert [(each.id, each.adapter_id, each.price) for each in found] == [
        ("m", "", MODEL.price),
        ("m", "", MODEL.price),
        ("own", "own", Price(5.0, 6.0)),
        ("none", "none", MODEL.price),
    ]
    assert {catalogue.model(name).id for name in ("m", "own", "none")} == {"m"}
    with pytest.raises(ModelNotFound):
        catalogue.choice("other")


def test_a_number_is_made_of_what_says_which_weights_they_are() -> None:
    one = Adapter("german", "org/german")
    assert one.number == Adapter("german", "org/german", Price(1.0)).number == 1398986203
    others = Adapter("german", "org/other"), Adapter("german", "org/german", added_ms=1), Adapter("greek", "org/german")
    assert len({one.number, *(each.number for each in others)}) == 4
    numbers = {Adapter(f"a{number}").number for number in range(1000)}
    assert len(numbers) == 1000
    assert min(numbers) >= 1
    assert max(numbers) < 2**31


def test_two_ids_of_one_number_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Adapter, "number", 7)
    adapters = [{"id": "one", "source": "org/one"}, {"id": "two", "source": "org/two"}]
    with pytest.raises(ConfigError, match=r'adapters\[1\]\.id: engines cannot tell it from "one"'):
        parse({"models": [{"id": "m", "source": "org/m", "adapters": adapters}]}, "test")
    # Of another model it is another engine's.
    others = [{"id": f"m{each['id']}", "source": "org/m", "adapters": [each]} for each in adapters]
    assert len(parse({"models": others}, "test").models) == 2


def test_engines_are_not_made_of_their_adapters() -> None:
    """They are told of others while they run."""
    assert make_of(with_adapters(0)) == make_of(with_adapters(1))
    assert make_of(with_adapters(1)) != make_of(with_adapters(1, max_lora_rank=64))


# Files ---------------------------------------------------------------------------------------------------------------


def local(*folders: Path) -> Model:
    adapters = tuple(Adapter(folder.name, str(folder)) for folder in folders)
    return Model("capitals", source="builtin:capitals", gpus=0, adapters=adapters)


def read(*folders: Path) -> dict[str, AdapterFiles]:
    model = local(*folders)
    files = read_all(model, str(CAPITALS)).files
    return {adapter.id: files[adapter.number] for adapter in model.adapters}


def test_adapters_are_read_with_their_ranks(tmp_path: Path) -> None:
    one, other = make_adapter(tmp_path / "one", 1, rank=4), make_adapter(tmp_path / "other", 2, rank=40)
    assert read(one, other) == {"one": AdapterFiles(one, 4), "other": AdapterFiles(other, 40)}
    assert read_all(Model("m", source="org/m"), "org/m") == AdaptersRead()


def test_of_those_that_admins_have_added_it_is_told_which_are_none(tmp_path: Path) -> None:
    good, gone = make_adapter(tmp_path / "good", 1), tmp_path / "gone"
    added = Adapter("gone", str(gone), added_ms=1)
    model = replace(local(good), adapters=(*local(good).adapters, added))
    found = read_all(model, str(CAPITALS))
    assert list(found.files) == [model.adapters[0].number]
    assert found.refused == {added.number: f"there is no folder {gone}"}


def remove(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def write(name: str, content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(content)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: folder.rename(folder.with_name("away")), "there is no folder "),
        (remove("adapter_config.json"), "has no adapter_config.json: it is not a LoRA adapter"),
        (remove("adapter_model.safetensors"), "has no adapter_model.safetensors: it is not a LoRA adapter"),
        (write("adapter_config.json", "{"), "its adapter_config.json cannot be read: "),
        (write("adapter_config.json", "[]"), "its adapter_config.json says no rank r"),
        (write("adapter_config.json", json.dumps({"r": 0})), "its adapter_config.json says no rank r"),
        (write("adapter_model.safetensors", "no tensors"), "safetensors is not in the safetensors format"),
        (write("adapter_model.safetensors", ""), "safetensors is not in the safetensors format"),
        (lambda folder: make_adapter(folder, 1, columns=64), "it is of another model: "),
    ],
)  # fmt: skip
def test_what_is_no_adapter_of_the_model_says_so(spoil: Callable[[Path], object], reason: str, tmp_path: Path) -> None:
    folder = make_adapter(tmp_path / "german", 1)
    spoil(folder)
    with pytest.raises(AdapterRefused) as refusal:
        read(folder)
    said = str(refusal.value)
    assert said.startswith("adapter german: ")
    assert reason in said
    with closing(FailureLog()) as log:
        assert log.reason(refusal.value) == said


def test_of_another_model_are_the_weights_that_tell(tmp_path: Path) -> None:
    with pytest.raises(AdapterRefused, match=r"layers\.0\.self_attn\.q_proj\.lora_A\.weight is 4 x 64, .* 256 x 128$"):
        read(make_adapter(tmp_path / "other", 1, columns=64))


def test_a_model_that_does_not_load_is_not_loaded_for_an_adapter_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(AdapterRefused, match="unknown built-in model"):
        read_all(replace(local(), adapters=(Adapter("a", "builtin:nothing"),)), str(CAPITALS))


# What vLLM is told ---------------------------------------------------------------------------------------------------


def files(*ranks: int) -> list[AdapterFiles]:
    return [AdapterFiles(Path("/a"), rank) for rank in ranks]


@pytest.mark.parametrize(
    ("model", "ranks", "expected"),
    [
        (with_adapters(0), (), None),
        (with_adapters(1), (4,), (8, 2, 32)),
        (with_adapters(2), (8, 17), (32, 3, 32)),
        (with_adapters(50), (16,) * 50, (16, 8, 32)),
        (with_adapters(50, max_loras=40), (16,) * 50, (16, 40, 40)),
        (with_adapters(50, max_cpu_loras=2), (16,) * 50, (16, 2, 32)),
        (with_adapters(1), (4096,), (512, 2, 32)),  # vLLM says that it is too much
    ],
)
def test_there_is_room_for_the_adapters(
    model: Model, ranks: tuple[int, ...], expected: tuple[int, int, int] | None
) -> None:
    args = engine_args(model, files(*ranks))
    if expected is None:
        assert args == {}
    else:
        rank, at_once, kept = expected
        assert args == {"enable_lora": True, "max_lora_rank": rank, "max_loras": at_once, "max_cpu_loras": kept}


class ScriptedVllm:
    """Has room for two adapters, and one more in memory."""

    def __init__(self, has_room: bool = True) -> None:
        room = SimpleNamespace(max_loras=2, max_cpu_loras=3, max_lora_rank=16)
        self.vllm_config = SimpleNamespace(lora_config=room if has_room else None)
        self.loaded: list[str] = []
        self.removed: list[int] = []
        self.error: Exception | None = None

    def add_lora(self, request: Any) -> None:
        if self.error is not None:
            raise self.error
        self.loaded.append(request.lora_name.partition("#")[0])

    def remove_lora(self, number: int) -> None:
        self.removed.append(number)


@pytest.fixture
def lora_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM's own takes many seconds to import."""

    def request(lora_name: str, lora_int_id: int, lora_path: str) -> SimpleNamespace:
        return SimpleNamespace(lora_name=lora_name, lora_int_id=lora_int_id, lora_path=lora_path)

    class Dead(Exception):
        pass

    monkeypatch.setitem(sys.modules, "vllm.lora.request", SimpleNamespace(LoRARequest=request))
    monkeypatch.setitem(sys.modules, "vllm.v1.engine.exceptions", SimpleNamespace(EngineDeadError=Dead))


def of_engine(count: int) -> tuple[ScriptedVllm, Adapters]:
    """An engine that knows so many, of which it has the last ones loaded."""
    vllm, model = ScriptedVllm(), with_adapters(count)
    adapters = Adapters(vllm, model)
    for each in model.adapters:
        adapters.know(each, of(each))
    return vllm, adapters


def of(adapter: Adapter, rank: int = 8) -> AdapterFiles:
    return AdapterFiles(Path("/", adapter.id), rank)


@pytest.mark.usefixtures("lora_request")
def test_an_adapter_is_loaded_before_it_is_needed_and_again_when_it_has_given_way() -> None:
    vllm, adapters = of_engine(3)
    assert adapters.request("") is None
    request = adapters.request("a0")
    number = Adapter("a0", "org/a0").number
    assert (request.lora_name, request.lora_int_id, request.lora_path) == (f"a0#{number}", number, "/a0")
    for name in ("a1", "a0", "a2"):
        adapters.request(name)
    assert (vllm.loaded, adapters.loaded) == (["a0", "a1", "a2"], ("a0", "a2"))
    more = Adapter("a3", "org/a3")
    adapters.know(more, of(more))  # in the place of a1, the one used least recently
    adapters.request("a0")
    adapters.request("a1")
    assert vllm.loaded == ["a0", "a1", "a2", "a3", "a1"]


@pytest.mark.usefixtures("lora_request")
def test_an_adapter_that_is_in_use_is_the_one_used_last() -> None:
    _, adapters = of_engine(3)
    first, *_ = [adapters.request(name) for name in ("a0", "a1", "a2")]
    adapters.use(first)
    adapters.use(None)
    assert adapters.loaded == ("a2", "a0")


@pytest.mark.usefixtures("lora_request")
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("Call to add_lora method failed: No adapter found for /a0", "No adapter found for /a0"),
        (
            "Call to add_lora method failed: Worker failed with error 'It's\n torn.', please check the stack trace "
            "above for the root cause",
            "It's torn.",
        ),
        ("", "Exception"),
    ],
)
def test_what_vllm_cannot_load_is_refused_in_its_words(error: str, reason: str) -> None:
    vllm, adapters = of_engine(1)
    vllm.error = Exception(error)
    more = Adapter("a1", "org/a1")
    with pytest.raises(AdapterRefused) as refusal:
        adapters.know(more, of(more))
    assert str(refusal.value) == f"adapter a1: vLLM cannot load it: {reason}"
    told = AdapterRefusal(more.number, f"vLLM cannot load it: {reason}")
    known = (Adapter("a0", "org/a0").number,)
    assert (adapters.adapted, adapters.loaded) == (Adapted(known, (told,)), ("a0",))
    vllm.error = None
    adapters.know(more, of(more))
    assert (adapters.adapted, adapters.loaded) == (Adapted((*known, more.number)), ("a0", "a1"))


@pytest.mark.usefixtures("lora_request")
def test_an_adapter_that_the_engine_does_not_know_is_refused() -> None:
    _, adapters = of_engine(1)
    with pytest.raises(AdapterRefused, match="adapter other: the engine does not know it"):
        adapters.request("other")


@pytest.mark.usefixtures("lora_request")
def test_one_of_other_weights_is_another_one_whatever_it_is_called() -> None:
    vllm, adapters = of_engine(1)
    before = adapters.request("a0")
    again = Adapter("a0", "org/a0", added_ms=7)
    adapters.know(again, of(again))
    after = adapters.request("a0", again.number)
    assert vllm.loaded == ["a0", "a0"]
    assert before.lora_name != after.lora_name  # vLLM knows by it what it has cached of prompts
    assert adapters.request("a0", before.lora_int_id).lora_int_id == before.lora_int_id
    adapters.keep({again.number}, in_use=())
    assert adapters.request("a0", before.lora_int_id).lora_int_id == again.number


@pytest.mark.usefixtures("lora_request")
def test_what_is_not_to_be_known_any_more_is_unloaded_unless_it_is_in_use() -> None:
    vllm, adapters = of_engine(3)
    first, second, third = (Adapter(f"a{number}", f"org/a{number}").number for number in range(3))
    adapters.keep({first}, in_use={second})
    assert (vllm.removed, adapters.adapted, adapters.loaded) == ([third], Adapted((first,)), ("a0", "a1"))
    with pytest.raises(AdapterRefused):
        adapters.request("a1", second)


@pytest.mark.usefixtures("lora_request")
def test_an_engine_says_when_one_that_is_made_anew_would_have_room() -> None:
    wide = Adapter("wide", "org/wide")
    for vllm, rank, engine, outgrown in (
        (ScriptedVllm(has_room=False), 8, {}, True),
        (ScriptedVllm(), 17, {}, True),
        (ScriptedVllm(), 17, {"max_lora_rank": 64}, True),
        (ScriptedVllm(), 17, {"max_lora_rank": 16}, None),
        (ScriptedVllm(), 513, {}, None),
        (ScriptedVllm(), 16, {}, None),
    ):
        adapters = Adapters(vllm, with_adapters(0, **engine))
        if outgrown is None:
            adapters.know(wide, of(wide, rank))  # vLLM says whether it is too much
            assert (vllm.loaded, adapters.adapted.refused) == (["wide"], ())
        else:
            with pytest.raises(AdapterRefused):
                adapters.know(wide, of(wide, rank))
            assert (vllm.loaded, [each.outgrown for each in adapters.adapted.refused]) == ([], [outgrown])


# Which engines have them ---------------------------------------------------------------------------------------------


def engine(number: int, work: int = 0) -> Candidate:
    return Candidate(EngineId(f"m/{number}"), NodeId("n"), True, True, False, 0, 4, work, 0)


def test_who_has_an_adapter_is_what_was_told_last() -> None:
    loaded, ranking = LoadedAdapters(), Ranking()
    one, other = EngineId("m/1"), EngineId("m/2")
    loaded.loaded(one, (), ("a", "b"))
    loaded.loaded(other, (), ("b",))
    assert (loaded.having("a", ranking), loaded.having("b", ranking)) == ({one}, {one, other})
    loaded.loaded(one, ("a", "b"), ("b", "c"))
    loaded.loaded(other, ("b",), ())
    assert [loaded.engines(each) for each in "abc"] == [0, 1, 1]
    assert loaded.having("a", ranking) == set()


def test_of_a_crowd_those_are_looked_at_that_have_little_to_do() -> None:
    loaded, ranking = LoadedAdapters(), Ranking()
    for number in range(2 * CROWD):
        ranking.put(engine(number, work=number))
        loaded.loaded(EngineId(f"m/{number}"), (), ("a",))
    assert loaded.engines("a") == 2 * CROWD
    assert loaded.having("a", ranking) == set(ranking.likely(CROWD))
