"""Why a job was placed where it was, in words."""

from collections import Counter
from collections.abc import Sequence

from cluster.ids import EngineId
from cluster.messages.placements import Placed, Verdict
from cluster.placement import LOADING_COST_TOKENS


def why_placed(placed: Placed) -> str:
    """Of an attempt of which it is known what was considered."""
    chosen = next(verdict for verdict in placed.considered if verdict.engine_id == placed.engine_id)
    others = [verdict for verdict in placed.considered if verdict is not chosen]
    said = [_choice(chosen, [verdict for verdict in others if verdict.ruled_out_by is None])]
    said += [f"{_having(other)}, but: {other.ruled_out_by}." for other in _that_had_more(chosen, others)]
    if placed.passed:
        said.append(f"For what is cached, the job went before {placed.passed} of its account's that came earlier.")
    if placed.cached_tokens is not None:
        said.append(f"It found {placed.cached_tokens} tokens of its prompt in the cache.")
    return " ".join(said)


def why_waiting(considered: Sequence[Verdict], starting: str = "") -> str:
    """Of a job that waits. `starting` is how far the start of its model is, where no engine of it serves."""
    said = _why_not_now(considered)
    return f"{said} How far the start of one is: {starting}." if starting else said


def _why_not_now(considered: Sequence[Verdict]) -> str:
    reasons = Counter(verdict.ruled_out_by for verdict in considered if verdict.ruled_out_by is not None)
    if not reasons:
        return "There is no engine of its model yet." if not considered else "It is about to be placed."
    told = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    return f"No engine can take it now, of {len(considered)}: {told}."


def _choice(chosen: Verdict, free: Sequence[Verdict]) -> str:
    if not free:
        return f"Only {_having(chosen)} could take it."
    if chosen.has_adapter:
        others = (
            "as others do" if all(verdict.has_adapter for verdict in free) else "and loading it costs work elsewhere"
        )
        return f"{_having(chosen)}: it has the adapter loaded, {others}; none of them costs less."
    rival = min(free, key=lambda verdict: (_work(verdict), verdict.engine_id))
    if _work(rival) < _work(chosen):
        return f"{_having(chosen)}: that costs less than {_having(rival)}, which had the least work."
    return f"{_having(chosen)}: no other engine that could take it costs less."


def _that_had_more(chosen: Verdict, others: Sequence[Verdict]) -> list[Verdict]:
    """The engine that had the most of the prompt, where it was ruled out."""
    most = max(others, key=lambda verdict: verdict.cached_tokens, default=chosen)
    return [most] if most.cached_tokens > chosen.cached_tokens and most.ruled_out_by else []


def _having(verdict: Verdict) -> str:
    cached = verdict.cached_tokens
    return f"{_name(verdict.engine_id)} ({_work(verdict)} tokens of work before it, {cached} of the prompt cached)"


def _work(verdict: Verdict) -> int:
    return verdict.score + verdict.cached_tokens + verdict.has_adapter * LOADING_COST_TOKENS


def _name(engine_id: EngineId) -> str:
    return f"engine {engine_id}"
