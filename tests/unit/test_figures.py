"""What vLLM counts of itself, taken in step by step. With vLLM's own engine: tests/backends/test_vllm_backend.py."""

from types import SimpleNamespace
from typing import Any

from actors.backends.vllm.figures import Figures
from cluster.messages.machines import EngineFigures


def scheduler(running: int, waiting: int, usage: float, queries: int = 0, hits: int = 0, drafts: Any = None) -> Any:
    return SimpleNamespace(
        num_running_reqs=running,
        num_waiting_reqs=waiting,
        num_skipped_waiting_reqs=1,
        kv_cache_usage=usage,
        prefix_cache_stats=SimpleNamespace(queries=queries, hits=hits),
        spec_decoding_stats=drafts,
    )


def iteration(prompt: int, cached: int, generated: int, *finished: str, preempted: int = 0) -> Any:
    return SimpleNamespace(
        num_preempted_reqs=preempted,
        prompt_token_stats=SimpleNamespace(total=prompt, cached_tokens=cached),
        num_generation_tokens=generated,
        finished_requests=[SimpleNamespace(finish_reason=reason) for reason in finished],
    )


def test_what_is_so_now_is_of_the_last_step_and_the_rest_adds_up() -> None:
    figures = Figures()
    assert figures.tell(idle=True) == EngineFigures()
    drafts = SimpleNamespace(num_drafts=2, num_draft_tokens=6, num_accepted_tokens=5)
    figures.record(scheduler(3, 4, 0.5, 30, 10, drafts), iteration(30, 10, 3), SimpleNamespace(queries=2, hits=1))
    figures.record(scheduler(2, 0, 0.25), iteration(0, 0, 5, "stop", "length", "stop", preempted=1))
    figures.record(scheduler(1, 0, 0.125), None)
    assert figures.tell(idle=False) == EngineFigures(
        num_requests_running=1,
        num_requests_waiting=1,
        kv_cache_usage_perc=0.125,
        prefix_cache_queries=30,
        prefix_cache_hits=10,
        mm_cache_queries=2,
        mm_cache_hits=1,
        num_preemptions=1,
        prompt_tokens=30,
        prompt_tokens_cached=10,
        generation_tokens=8,
        spec_decode_num_drafts=2,
        spec_decode_num_draft_tokens=6,
        spec_decode_num_accepted_tokens=5,
        request_success={"stop": 2, "length": 1},
    )


def test_nothing_runs_in_an_engine_that_became_idle_without_a_step() -> None:
    figures = Figures()
    figures.record(scheduler(3, 4, 0.5), iteration(30, 0, 3))
    told = figures.tell(idle=True)
    assert (told.num_requests_running, told.num_requests_waiting, told.kv_cache_usage_perc) == (0, 0, 0.0)
    assert told.prompt_tokens == 30


def test_what_was_told_does_not_change_with_what_comes() -> None:
    figures = Figures()
    figures.record(scheduler(1, 0, 0.5), iteration(3, 0, 1, "stop"))
    told = figures.tell(idle=False)
    figures.record(scheduler(1, 0, 0.5), iteration(3, 0, 1, "stop"))
    assert (told.prompt_tokens, told.request_success) == (3, {"stop": 1})


def test_an_engine_that_is_not_to_count_is_left_as_it_is() -> None:
    silent = SimpleNamespace(logger_manager=None)
    assert Figures().install(silent) is None
    assert silent.logger_manager is None
