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
from tests.support.backend_suite import Inbox, Subject, joined
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


def test_a_rank_for_which_there_is_no_room_says_so_at_load(folders: dict[str, Path]) -> None:
    inbox = Inbox()
    refused = backend(model([folders["third"]], max_lora_rank=8))
    try:
        with pytest.raises(BackendDied, match=r"^adapter third: vLLM cannot load it: LoRA rank 20 is greater than"):
            refused.load(inbox.sink, inbox.died)
    finally:
        refused.close()
