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

from actors.backends.vllm.adapter_files import AdapterFiles, AdapterRefused, read_all
from actors.backends.vllm.adapters import Adapters, engine_args
from actors.backends.vllm.failures import FailureLog
from cluster.catalogue import Adapter, Catalogue, Model, Price
from cluster.errors import ConfigError, ModelNotFound
from cluster.fleet.adapters import CROWD, LoadedAdapters
from cluster.fleet.makes import make_of
from cluster.ids import EngineId, NodeId
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


def test_a_number_is_made_of_the_id_alone() -> None:
    assert Adapter("capitals-german").number == Adapter("capitals-german", "elsewhere", Price(1.0)).number == 1723661009
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


def test_engines_are_made_of_the_adapters_and_not_of_their_prices() -> None:
    plain, one = make_of(with_adapters(0)), make_of(with_adapters(1))
    dearer = replace(MODEL, adapters=(Adapter("a0", "org/a0", Price(9.0)),))
    elsewhere = replace(MODEL, adapters=(Adapter("a0", "org/b"),))
    assert make_of(dearer) == one
    assert len({plain.fingerprint, one.fingerprint, make_of(elsewhere).fingerprint}) == 3
    assert (plain.adapters, one.adapters) == ((), (Adapter("a0").number,))
    assert plain.vocabulary == one.vocabulary


# Files ---------------------------------------------------------------------------------------------------------------


def local(*folders: Path) -> Model:
    adapters = tuple(Adapter(folder.name, str(folder)) for folder in folders)
    return Model("capitals", source="builtin:capitals", gpus=0, adapters=adapters)


def read(*folders: Path) -> dict[str, AdapterFiles]:
    return read_all(local(*folders), str(CAPITALS))


def test_adapters_are_read_with_their_ranks(tmp_path: Path) -> None:
    one, other = make_adapter(tmp_path / "one", 1, rank=4), make_adapter(tmp_path / "other", 2, rank=40)
    assert read(one, other) == {"one": AdapterFiles(one, 4), "other": AdapterFiles(other, 40)}
    assert read_all(Model("m", source="org/m"), "org/m") == {}


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
        (with_adapters(1), (4,), (8, 1, 1)),
        (with_adapters(2), (8, 17), (32, 2, 2)),
        (with_adapters(50), (16,) * 50, (16, 8, 32)),
        (with_adapters(50, max_loras=40), (16,) * 50, (16, 40, 40)),
        (with_adapters(50, max_cpu_loras=2), (16,) * 50, (16, 2, 32)),
        (with_adapters(1), (4096,), (512, 1, 1)),  # vLLM says that it is too much
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

    vllm_config = SimpleNamespace(lora_config=SimpleNamespace(max_loras=2, max_cpu_loras=3))

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.error: Exception | None = None

    def add_lora(self, request: Any) -> None:
        if self.error is not None:
            raise self.error
        self.loaded.append(request.lora_name)


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
    vllm, model = ScriptedVllm(), with_adapters(count)
    return vllm, Adapters(
        vllm, model.adapters, {each.id: AdapterFiles(Path("/", each.id), 8) for each in model.adapters}
    )


@pytest.mark.usefixtures("lora_request")
def test_an_adapter_is_loaded_before_it_is_needed_and_again_when_it_has_given_way() -> None:
    vllm, adapters = of_engine(4)
    assert adapters.request("") is None
    request = adapters.request("a0")
    assert (request.lora_name, request.lora_int_id, request.lora_path) == ("a0", Adapter("a0").number, "/a0")
    for name in ("a1", "a0", "a2"):
        adapters.request(name)
    assert (vllm.loaded, adapters.loaded) == (["a0", "a1", "a2"], ("a0", "a2"))
    adapters.request("a3")  # in the place of a1, the one used least recently
    adapters.request("a0")
    adapters.request("a1")
    assert vllm.loaded == ["a0", "a1", "a2", "a3", "a1"]


@pytest.mark.usefixtures("lora_request")
def test_an_adapter_that_is_in_use_is_the_one_used_last() -> None:
    _, adapters = of_engine(3)
    for name in ("a0", "a1", "a2"):
        adapters.request(name)
    adapters.use("a0")
    adapters.use("")
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
    vllm, adapters = of_engine(2)
    vllm.error = Exception(error)
    with pytest.raises(AdapterRefused) as refusal:
        adapters.load_all()
    assert str(refusal.value) == f"adapter a0: vLLM cannot load it: {reason}"
    assert adapters.loaded == ()
    vllm.error = None
    adapters.load_all()
    assert vllm.loaded == ["a0", "a1"]


@pytest.mark.usefixtures("lora_request")
def test_an_adapter_that_the_engine_does_not_know_is_refused() -> None:
    _, adapters = of_engine(1)
    with pytest.raises(AdapterRefused, match="adapter other: the engine does not know it"):
        adapters.request("other")


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
