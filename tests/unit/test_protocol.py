"""Messages change only together with the number by which two versions know each other."""

import pickle

import msgspec

from cluster.ids import AccountId, JobId, KeyId
from cluster.messages.work import ChatMessage, Job, Sampling
from cluster.release import PROTOCOL_VERSION
from tests.support import layouts

HOW = "run `python -m tests.support.layouts`"


def test_messages_look_as_they_did_in_this_version_of_the_protocol() -> None:
    before, now = layouts.FILE.read_text(), layouts.written()
    if before != now:
        assert layouts.version_of(before) != PROTOCOL_VERSION, (
            f"messages have changed: raise cluster.release.PROTOCOL_VERSION, then {HOW}\n{_differences(before, now)}"
        )
        raise AssertionError(f"PROTOCOL_VERSION has changed: {HOW}")


def test_a_field_more_is_noticed() -> None:
    class Told(msgspec.Struct, frozen=True):
        job_id: str

    class ToldMore(msgspec.Struct, frozen=True):
        job_id: str
        attempt: int

    assert layouts.line(Told).partition("(")[2] == "job_id: str)"
    assert layouts.line(ToldMore).partition("(")[2] == "job_id: str, attempt: int)"


def test_messages_travel_by_position() -> None:
    """This is why an order is a layout: what Ray carries of a message are its values, without names."""
    job = Job(
        id=JobId("job_1"),
        account_id=AccountId("acct_1"),
        key_id=KeyId("key_1"),
        model="sim",
        messages=(ChatMessage("user", "hi"),),
        sampling=Sampling(max_tokens=3),
        created_ms=1,
        deadline_ms=2,
    )
    carried = pickle.dumps(job)
    assert pickle.loads(carried) == job
    assert b"deadline_ms" not in carried


def _differences(before: str, now: str) -> str:
    old, new = set(before.splitlines()), set(now.splitlines())
    return "\n".join([*(f"- {line}" for line in sorted(old - new)), *(f"+ {line}" for line in sorted(new - old))])
