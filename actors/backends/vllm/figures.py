"""What vLLM counts of itself: of all that it makes at each step, what is told of an engine."""

from collections import Counter
from typing import Any

from msgspec.structs import replace

from cluster.measures import engine_times
from cluster.measures.engine_times import Times
from cluster.measures.histogram import Histogram
from cluster.messages.machines import EngineFigures


def count_cheaply() -> None:
    """Have vLLM's engines in this process take the times that are told, and look nothing up for each token."""
    from vllm.v1.engine import llm_engine
    from vllm.v1.metrics.stats import IterationStats

    class Counts(IterationStats):  # type: ignore[misc]  # vLLM's classes are of no type here
        """What a step came to: vLLM's own, which asks the environment for each token whether it is to find NaNs."""

        def update_from_output(
            self,
            output: Any,
            engine_core_timestamp: float,
            is_prefilling: bool,
            req_stats: Any,
            lora_states: Any,
            lora_name: str | None,
        ) -> None:
            tokens = len(output.new_token_ids)
            self.num_generation_tokens += tokens
            req_stats.num_generation_tokens += tokens
            if output.events is not None:
                about = (output.events, is_prefilling, req_stats, lora_states, lora_name)
                self.update_from_events(output.request_id, *about)
            if is_prefilling:
                if output.prefill_stats is not None:
                    self.prompt_token_stats.update_from_output(output.prefill_stats)
                req_stats.first_token_latency = self.iteration_timestamp - req_stats.arrival_time
                self.time_to_first_tokens_iter.append(req_stats.first_token_latency)
                req_stats.first_token_ts = engine_core_timestamp
            else:
                self.inter_token_latencies_iter.append(engine_core_timestamp - req_stats.last_token_ts)
            req_stats.last_token_ts = engine_core_timestamp

    llm_engine.IterationStats = Counts


class Figures:
    """Takes the place of vLLM's own loggers in an engine, which write logs and keep twenty histograms.

    Told by the thread that steps the engine, after each step, and asked from any.
    """

    def __init__(self) -> None:
        self._now = EngineFigures()
        self._counts: Counter[str] = Counter()
        self._finished: Counter[str] = Counter()
        self.times: Times = {}
        self.begin_times()

    def begin_times(self) -> None:
        """Count times from now on: what was generated to warm up is no request of anybody's."""
        self.times = {name: Histogram() for name in engine_times.BOUNDS}

    def tell(self, idle: bool) -> EngineFigures:
        """What has been counted. vLLM tells nothing of an engine that has become idle otherwise than by a step."""
        counted = EngineFigures(**self._counts, request_success=dict(self._finished))
        if idle:
            return counted
        now = self._now
        return replace(
            counted,
            num_requests_running=now.num_requests_running,
            num_requests_waiting=now.num_requests_waiting,
            kv_cache_usage_perc=now.kv_cache_usage_perc,
        )

    def install(self, engine: Any) -> "Figures | None":
        """Have this engine, vLLM's `LLMEngine`, tell of its steps; None of one with `disable_log_stats`."""
        if engine.logger_manager is None:
            return None
        engine.logger_manager = self
        count_cheaply()
        return self

    # As vLLM's StatLoggerManager -------------------------------------------------------------------------------------

    def record(self, scheduler_stats: Any, iteration_stats: Any, mm_cache_stats: Any = None) -> None:
        """Take in what a step came to."""
        counts = self._counts
        if scheduler_stats is not None:
            waiting = scheduler_stats.num_waiting_reqs + scheduler_stats.num_skipped_waiting_reqs
            self._now = EngineFigures(scheduler_stats.num_running_reqs, waiting, scheduler_stats.kv_cache_usage)
            counts["prefix_cache_queries"] += scheduler_stats.prefix_cache_stats.queries
            counts["prefix_cache_hits"] += scheduler_stats.prefix_cache_stats.hits
            if (speculated := scheduler_stats.spec_decoding_stats) is not None:
                counts["spec_decode_num_drafts"] += speculated.num_drafts
                counts["spec_decode_num_draft_tokens"] += speculated.num_draft_tokens
                counts["spec_decode_num_accepted_tokens"] += speculated.num_accepted_tokens
        if mm_cache_stats is not None:
            counts["mm_cache_queries"] += mm_cache_stats.queries
            counts["mm_cache_hits"] += mm_cache_stats.hits
        if iteration_stats is not None:
            prompts = iteration_stats.prompt_token_stats
            counts["num_preemptions"] += iteration_stats.num_preempted_reqs
            counts["prompt_tokens"] += prompts.total
            counts["prompt_tokens_cached"] += prompts.cached_tokens
            counts["generation_tokens"] += iteration_stats.num_generation_tokens
            for request in iteration_stats.finished_requests:
                self._finished[str(request.finish_reason)] += 1
                self._time(engine_times.WHOLE, request.e2e_latency)
                self._time(engine_times.QUEUE, request.queued_time)
                self._time(engine_times.PREFILL, request.prefill_time)
                self._time(engine_times.DECODE, request.decode_time)
            self._time(engine_times.FIRST_TOKEN, *iteration_stats.time_to_first_tokens_iter)
            self._time(engine_times.INTER_TOKEN, *iteration_stats.inter_token_latencies_iter)

    def _time(self, name: str, *seconds: float) -> None:
        histogram, bounds = self.times[name], engine_times.BOUNDS[name]
        for each in seconds:
            histogram.add(each, bounds)

    def record_sleep_state(self, sleep: int = 0, level: int = 0) -> None:
        """Engines here never sleep."""

    def log(self) -> None:
        """Nothing is written in logs: what is counted is told when it is asked for."""
