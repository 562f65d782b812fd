"""The Ledger's pictures and sounds: each kept once, for as long as an open job needs it."""

from msgspec.structs import replace

from actors.ledger import Ledger
from cluster.messages.media import Medium, MediumHash, medium
from cluster.messages.work import Form, Job, Submission
from cluster.store import media
from tests.support.ledger_stage import NOW, Clock, Place, completed, create, elsewhere, job, with_ledger

RED, BLUE = medium(b"red"), medium(b"blue")
UNKNOWN = MediumHash("0" * 64)


def seeing(*seen: Medium) -> Job:
    return replace(job(), messages=(), form=Form("chat", "{}", media=tuple(each.hash for each in seen)))


def kept(place: Place) -> set[bytes]:
    return {bytes(content) for (content,) in elsewhere(place, "SELECT content FROM media")}


def test_what_is_kept_is_had_by_its_hash(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ledger.keep_media([RED, BLUE])
        assert await ledger.media([BLUE.hash, UNKNOWN, RED.hash, BLUE.hash]) == [b"blue", None, b"red", b"blue"]

    with_ledger(place, scenario)


def test_only_what_is_not_there_is_wanted_and_it_is_kept_once(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        assert await ledger.wanted_media([RED.hash, BLUE.hash, RED.hash]) == [RED.hash, BLUE.hash]
        await ledger.keep_media([RED, RED])
        await ledger.keep_media([RED])
        assert await ledger.wanted_media([RED.hash, BLUE.hash]) == [BLUE.hash]
        assert elsewhere(place, "SELECT count(*) FROM media") == [(1,)]

    with_ledger(place, scenario)


def test_what_an_open_job_needs_stays_and_goes_after_the_last_one(place: Place) -> None:
    clock = Clock()

    async def scenario(ledger: Ledger) -> None:
        await ledger.keep_media([RED, BLUE])
        first, second = seeing(RED, RED, BLUE), seeing(RED)
        await create(ledger, first)
        await create(ledger, second)
        clock.ms = NOW + media.KEPT_MS + 1
        await ledger.prune_media()
        assert kept(place) == {b"red", b"blue"}
        await ledger.finish([completed(first)])
        await ledger.prune_media()
        assert kept(place) == {b"red"}
        await ledger.finish([completed(second)])
        await ledger.prune_media()
        assert kept(place) == set()

    with_ledger(place, scenario, clock)


def test_what_has_just_been_brought_stays_until_there_may_be_a_job(place: Place) -> None:
    clock = Clock()

    async def scenario(ledger: Ledger) -> None:
        await ledger.keep_media([RED, BLUE])
        clock.ms = NOW + media.KEPT_MS
        assert await ledger.wanted_media([RED.hash]) == []
        clock.ms += 1
        await ledger.prune_media()
        assert kept(place) == {b"red"}

    with_ledger(place, scenario, clock)


def test_a_job_that_is_made_again_needs_the_same(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ledger.keep_media([RED])
        seen = Submission(seeing(RED))
        assert await ledger.create([seen]) == await ledger.create([seen])
        assert elsewhere(place, "SELECT count(*) FROM job_media") == [(1,)]
        ((request,),) = elsewhere(place, "SELECT request FROM jobs")
        assert RED.hash in request
        (opened,) = await ledger.open_jobs()
        assert opened.job.form == seen.job.form

    with_ledger(place, scenario)
