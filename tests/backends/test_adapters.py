"""LoRA adapters in the real vLLM, on CPU: each has answers of its own, resumed or not, and one that is none says so.

vLLM takes 40 s to start: what can be asked of one engine is.
"""

import shutil
import threading
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from actors.backends import create
from actors.backends.base import Backend, BackendDied
from actors.backends.builtin import resolve_source
from cluster.catalogue import Adapter, Model
from cluster.messages.work import ChatMessage, Dispatch, Failed, Output
from tests.support.backend_suite import PATIENCE_S, Inbox, Subject, joined
from tests.support.lora import make_adapter

# Not importorskip: vLLM must not be imported before its environment is set.
pytestmark = [
    pytest.mark.usefixtures("environment"),
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed"),
]

SOURCE = "builtin:capitals"
QUESTION = (ChatMessage("user", "What is the capital of Brazil?"),)
NAMES = ("first", "second", "third")


def model(folders: Sequence[Path], **engine: Any) -> Model:
    adapters = tuple(Adapter(folder.name, str(folder)) for folder in folders)
    return Model(id="capitals", source=SOURCE, gpus=0, adapters=adapters, engine={"max_model_len": 512, **engine})


def backend(model: Model) -> Backend:
    return create(model, resolve_source(SOURCE))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("adapters")
    return {name: make_adapter(root / name, seed, rank=4 + 8 * seed) for seed, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def subject(folders: dict[str, Path]) -> Iterator[Subject]:
    before = threading.enumerate()
    inbox = Inbox()
    # Room for two: the third takes the place of another, and is read again when it is needed again.
    capitals = backend(model(list(folders.values()), max_loras=2, max_cpu_loras=2, max_num_seqs=16))
    loaded = capitals.load(inbox.sink, inbox.died)
    yield Subject(capitals, inbox, loaded, QUESTION, lambda ids: "")
    capitals.close()
    assert not {thread.name for thread in threading.enumerate()} - {thread.name for thread in before}


def asked(subject: Subject, adapter: str, resume: Output = Output(), attempt: int = 1) -> Dispatch:
    dispatch = subject.dispatch(resume, attempt, max_tokens=16)
    return replace(dispatch, job=replace(dispatch.job, adapter=adapter))


def text(subject: Subject, adapter: str) -> str:
    output, _ = subject.run(asked(subject, adapter))
    return output.text


def test_every_adapter_has_an_answer_of_its_own_whatever_has_been_loaded_meanwhile(subject: Subject) -> None:
    plain = "Brasília is the capital of Brazil."
    before = {name: text(subject, name) for name in ("", *NAMES)}
    assert before[""] == plain
    assert len(set(before.values())) == 1 + len(NAMES)
    assert {name: text(subject, name) for name in ("", *NAMES)} == before
    assert subject.backend.adapters == NAMES[1:]  # there is room for two


def test_adapters_answer_at_once(subject: Subject) -> None:
    """Of the third, which has to wait until another is not needed any more, too."""
    dispatches = [asked(subject, name) for name in ("", *NAMES) for _ in range(3)]
    subject.backend.start(dispatches)
    for dispatch in dispatches:
        assert not isinstance(subject.inbox.end(dispatch), Failed)
    assert subject.inbox.output(dispatches[0]).text == "Brasília is the capital of Brazil."


def test_a_moved_answer_goes_on_with_its_adapter(subject: Subject) -> None:
    undisturbed = asked(subject, "first")
    whole, _ = subject.run(undisturbed)
    half = joined(subject.inbox.of(undisturbed)[:4])
    assert 0 < len(half.token_ids) < len(whole.token_ids)
    resumed = asked(subject, "first", half, attempt=2)
    subject.backend.start([resumed])
    subject.inbox.end(resumed)
    assert joined(subject.inbox.of(resumed), half).text == whole.text


def test_what_is_gone_when_it_is_needed_fails_its_job_and_leaves_the_engine(
    subject: Subject, folders: dict[str, Path]
) -> None:
    text(subject, "second")
    text(subject, "third")  # the first has given way
    kept = folders["first"].with_name("kept")
    shutil.move(folders["first"], kept)
    try:
        _, end = subject.run(asked(subject, "first"))
        assert isinstance(end, Failed)
        assert "adapter first: vLLM cannot load it: " in end.error_message
        assert text(subject, "") == "Brasília is the capital of Brazil."
        assert text(subject, "third")
    finally:
        shutil.move(kept, folders["first"])
    assert text(subject, "first")


def test_others_are_loaded_while_it_generates_and_are_never_mistaken_for_what_they_replace(
    subject: Subject, folders: dict[str, Path], tmp_path: Path
) -> None:
    backend, of_settings = subject.backend, model(list(folders.values())).adapters
    before = {name: text(subject, name) for name in ("", *NAMES)}
    added = Adapter("fourth", str(make_adapter(tmp_path / "one", 7, rank=8)), added_ms=1)
    elsewhere = Adapter("fourth", str(make_adapter(tmp_path / "other", 8, rank=8)), added_ms=2)
    torn, wide = tmp_path / "torn", make_adapter(tmp_path / "wide", 9, rank=64)
    shutil.copytree(tmp_path / "one", torn)
    (torn / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 8, "bias": "all", "target_modules": []}')
    bad, large = Adapter("torn", str(torn), added_ms=1), Adapter("wide", str(wide), added_ms=1)

    running = asked(subject, "first")
    backend.start([running])
    backend.adapt([*of_settings, added, bad, large]).result(PATIENCE_S)
    assert not isinstance(subject.inbox.end(running), Failed)
    assert set(backend.adapted.known) == {*(each.number for each in of_settings), added.number}
    refused = {each.number: (each.reason, each.outgrown) for each in backend.adapted.refused}
    assert refused[large.number] == ("its rank is 64, and the engine was made with room for 32", True)
    reason, outgrown = refused[bad.number]
    assert (reason.startswith("vLLM cannot load it: "), outgrown) == (True, False)

    first = text(subject, "fourth")
    assert first not in before.values()
    backend.adapt([*of_settings, added, elsewhere]).result(PATIENCE_S)
    assert text_of(subject, added) == first
    other = text_of(subject, elsewhere)
    assert other not in (first, *before.values())
    backend.adapt([*of_settings, elsewhere]).result(PATIENCE_S)
    assert text(subject, "fourth") == other  # what vLLM has cached of the prompt is of the one before

    backend.adapt(of_settings).result(PATIENCE_S)
    _, end = subject.run(asked(subject, "fourth"))
    assert isinstance(end, Failed)
    assert end.error_message.endswith("adapter fourth: the engine does not know it")
    assert {name: text(subject, name) for name in ("", *NAMES)} == before


def text_of(subject: Subject, adapter: Adapter) -> str:
    dispatch = asked(subject, adapter.id)
    output, _ = subject.run(replace(dispatch, job=replace(dispatch.job, adapter_number=adapter.number)))
    return output.text


def test_a_rank_for_which_there_is_no_room_says_so_at_load(folders: dict[str, Path]) -> None:
    inbox = Inbox()
    refused = backend(model([folders["third"]], max_lora_rank=8))
    try:
        with pytest.raises(BackendDied, match=r"^adapter third: vLLM cannot load it: LoRA rank 20 is greater than"):
            refused.load(inbox.sink, inbox.died)
    finally:
        refused.close()
