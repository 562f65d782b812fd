"""Why a job was placed where it was, in words."""

from msgspec.structs import replace

from api.jobs.reasons import why_placed, why_waiting
from cluster.ids import EngineId, JobId, NodeId
from cluster.messages.placements import Placed, RuledOut, Verdict
from cluster.placement import LOADING_COST_TOKENS


def verdict(number: int, work: int, cached: int = 0, ruled_out_by: RuledOut | None = None) -> Verdict:
    return Verdict(EngineId(f"m/{number}"), NodeId("node_1"), ruled_out_by, work - cached, cached)


def placed(chosen: int, *considered: Verdict) -> Placed:
    return Placed(JobId("job_1"), NodeId("node_1"), EngineId(f"m/{chosen}"), 1, 0, considered)


def test_an_engine_that_had_no_rival() -> None:
    said = "Only engine m/1 (5 tokens of work before it, 0 of the prompt cached) could take it."
    assert why_placed(placed(1, verdict(1, 5), verdict(2, 0, 0, "draining"))) == said


def test_the_engine_with_the_least_work() -> None:
    assert why_placed(placed(1, verdict(1, 5), verdict(2, 6))) == (
        "engine m/1 (5 tokens of work before it, 0 of the prompt cached): "
        "no other engine that could take it costs less."
    )


def test_an_engine_that_has_more_work_and_more_of_the_prompt() -> None:
    assert why_placed(placed(2, verdict(2, 50, 64), verdict(1, 5, 16), verdict(3, 6))) == (
        "engine m/2 (50 tokens of work before it, 64 of the prompt cached): that costs less than "
        "engine m/1 (5 tokens of work before it, 16 of the prompt cached), which had the least work."
    )


def test_an_engine_that_has_the_adapter() -> None:
    having = Verdict(EngineId("m/2"), NodeId("node_1"), None, 50 - LOADING_COST_TOKENS, 0, has_adapter=True)
    assert why_placed(placed(2, having, verdict(1, 5))) == (
        "engine m/2 (50 tokens of work before it, 0 of the prompt cached): it has the adapter loaded, "
        "and loading it costs work elsewhere; none of them costs less."
    )
    other = replace(having, engine_id=EngineId("m/1"), score=60 - LOADING_COST_TOKENS)
    assert "it has the adapter loaded, as others do" in why_placed(placed(2, having, other))


def test_an_engine_that_had_more_of_the_prompt_and_no_room() -> None:
    said = why_placed(placed(1, verdict(1, 5), verdict(2, 6), verdict(3, 50, 64, "no room")))
    assert said.endswith("engine m/3 (50 tokens of work before it, 64 of the prompt cached), but: no room.")


def test_what_it_passed_and_what_it_found() -> None:
    job = replace(placed(1, verdict(1, 5, 16)), passed=2, cached_tokens=32)
    assert why_placed(job).endswith(
        " For what is cached, the job went before 2 of its account's that came earlier."
        " It found 32 tokens of its prompt in the cache."
    )


def test_a_job_that_waits() -> None:
    full = verdict(1, 0, 0, "no room"), verdict(2, 0, 0, "no room"), verdict(3, 0, 0, "draining")
    assert why_waiting(full) == "No engine can take it now, of 3: 2 no room, 1 draining."
    assert why_waiting(()) == "There is no engine of its model yet."
    assert why_waiting((), "waits for room, for 3 s now") == (
        "There is no engine of its model yet. How far the start of one is: waits for room, for 3 s now."
    )
    assert why_waiting([verdict(1, 0)]) == "It is about to be placed."
