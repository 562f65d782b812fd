"""What vLLM counts of itself, taken in step by step. With vLLM's own engine: tests/backends/test_vllm_backend.py."""

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from actors.backends.vllm.figures import Figures
from cluster.measures.engine_times import BOUNDS
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
        finished_requests=[
            SimpleNamespace(finish_reason=reason, e2e_latency=3.0, queued_time=0.1, prefill_time=0.9, decode_time=2.0)
            for reason in finished
        ],
        time_to_first_tokens_iter=[1.0] * bool(prompt),
        inter_token_latencies_iter=[0.02] * generated,
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


def test_times_are_counted_under_vllms_own_bounds() -> None:
    figures = Figures()
    figures.record(None, iteration(30, 10, 3, "stop", "length"))
    figures.record(None, iteration(0, 0, 4))
    told = {name: (times.count, round(times.sum, 6), times.counts) for name, times in figures.times.items()}
    assert told == {
        "time_to_first_token_seconds": (1, 1.0, {1.0: 1}),
        "inter_token_latency_seconds": (7, 0.14, {0.025: 7}),
        "e2e_request_latency_seconds": (2, 6.0, {5.0: 2}),
        "request_queue_time_seconds": (2, 0.2, {0.3: 2}),
        "request_prefill_time_seconds": (2, 1.8, {1.0: 2}),
        "request_decode_time_seconds": (2, 4.0, {2.0: 2}),
    }


def test_times_of_warming_up_are_nobodys() -> None:
    figures = Figures()
    figures.record(None, iteration(30, 10, 3, "stop"))
    figures.begin_times()
    assert {times.count for times in figures.times.values()} == {0}
    figures.record(None, iteration(0, 0, 1))
    assert figures.times["inter_token_latency_seconds"].count == 1


def test_the_bounds_are_vllms() -> None:
    source = Path(find_spec("vllm").origin).with_name("v1") / "metrics" / "loggers.py"  # type: ignore[union-attr]
    text = source.read_text()
    requests = _numbers(text.partition("request_latency_buckets = [")[2])
    for name, bounds in BOUNDS.items():
        own = text.partition(f'name="vllm:{name}"')[2].partition("buckets=")[2]
        assert (requests if own.startswith("request_latency_buckets") else _numbers(own.partition("[")[2])) == bounds


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(each) for each in text.partition("]")[0].replace("\n", "").split(",") if each.strip())
