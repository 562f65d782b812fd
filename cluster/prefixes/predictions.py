"""How much of its prompt a job is expected to find in its engine's cache, and how much it found. Pure."""

import sys
from collections.abc import Iterable, Sequence, Set

from msgspec import Struct

from cluster.ids import EngineId, JobId
from cluster.messages.machines import CacheTotals
from cluster.placement import NOTHING, Cached
from cluster.prefixes.index import PrefixIndex


class _Engine:
    """An engine that has a cache: its blocks in tokens, and its uses by jobs that have not told what they found."""

    def __init__(self, block_tokens: int) -> None:
        self.block_tokens = block_tokens
        self.under_way: set[int] = set()


class _Prediction(Struct, frozen=True, gc=False):
    """What is expected of a job. `evicted_with`: if it finds less, what was used last then is gone, too."""

    engine_id: EngineId
    prompt_tokens: int
    tokens: int
    use: int | None
    evicted_with: int | None


class Predictions:
    """Sole owner of what is known of the caches of a model's engines. Its hashes are of `block_tokens` tokens each."""

    def __init__(self, block_tokens: int) -> None:
        self.totals = CacheTotals()
        self._block_tokens = block_tokens
        self._index = PrefixIndex()
        self._engines: dict[EngineId, _Engine] = {}
        self._of_jobs: dict[JobId, _Prediction] = {}

    def __bool__(self) -> bool:
        """Whether any engine has a cache."""
        return bool(self._engines)

    def join(self, engine_id: EngineId, cache_tokens: int, block_tokens: int) -> None:
        """This engine has a cache of so many tokens, in blocks of so many; none where either is 0."""
        if cache_tokens and block_tokens and engine_id not in self._engines:
            self._engines[engine_id] = _Engine(block_tokens)
            self._index.join(engine_id, cache_tokens // self._block_tokens)

    def leave(self, engine_id: EngineId) -> None:
        """This engine has gone. An unknown one is ignored."""
        if self._engines.pop(engine_id, None) is not None:
            self._index.leave(engine_id)

    def expected(self, prefix: bytes, prompt_tokens: int, likely: Iterable[EngineId] = ()) -> Cached:
        """How many tokens of such a prompt engines have: the few that have most of it, and those of the `likely`."""
        if not prefix or not self._engines:
            return NOTHING
        holders = self._index.holders(prefix, likely)
        return {engine_id: self._tokens(engine_id, blocks, prompt_tokens) for engine_id, blocks in holders.items()}

    def most_expected(self, chains: Sequence[Sequence[int]], suits: Set[EngineId]) -> int:
        """The position of that of these prompts of which an engine that suits has the most; of equals the first."""
        best, most = 0, 0
        for position, engine_id, blocks in self._index.fullest(chains, suits):
            tokens = self._tokens(engine_id, blocks, sys.maxsize)
            if tokens > most:
                best, most = position, tokens
        return best

    def begin(self, job_id: JobId, engine_id: EngineId, prefix: bytes, prompt_tokens: int) -> int:
        """This engine is given the job. Returns how many tokens of its prompt are expected in the cache."""
        engine = self._engines.get(engine_id)
        if engine is None:
            return 0
        use = self._index.use(engine_id, prefix)
        tokens = 0 if use is None else self._tokens(engine_id, use.blocks, prompt_tokens)
        number, evicted_with = None, None
        if use is not None:
            number = use.number
            engine.under_way.add(number)
            # What another job has only just been given may not be there yet: that says nothing of what is.
            evicted_with = None if use.before in engine.under_way else use.before
        self._of_jobs[job_id] = _Prediction(engine_id, prompt_tokens, tokens, number, evicted_with)
        return tokens

    def found(self, job_id: JobId, tokens: int) -> None:
        """The job's engine had so many tokens of its prompt. What it is taken to have is corrected."""
        prediction = self._of_jobs.get(job_id)
        if prediction is None:
            return
        if tokens < prediction.tokens and prediction.evicted_with is not None:
            self._index.forget(prediction.engine_id, prediction.evicted_with)
        totals = self.totals
        self.totals = CacheTotals(
            totals.prompt + prediction.prompt_tokens,
            totals.predicted + prediction.tokens,
            totals.actual + tokens,
        )
        self.end(job_id)

    def end(self, job_id: JobId) -> None:
        """The engine works on this job no longer. An unknown one is ignored."""
        prediction = self._of_jobs.pop(job_id, None)
        if prediction is None or prediction.use is None:
            return
        if (engine := self._engines.get(prediction.engine_id)) is not None:
            engine.under_way.discard(prediction.use)

    def _tokens(self, engine_id: EngineId, blocks: int, prompt_tokens: int) -> int:
        """Whole blocks of the engine's, and not the last token: it brings the first of the answer."""
        engine_block = self._engines[engine_id].block_tokens
        return min(blocks * self._block_tokens, prompt_tokens - 1) // engine_block * engine_block
