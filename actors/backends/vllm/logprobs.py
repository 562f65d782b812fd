"""The logprobs of tokens as OpenAI's and vLLM's APIs tell them, from what vLLM's engine tells."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from cluster.messages.work import Sampling

LEAST = -9999.0
"""JSON has no infinity."""

_encode = msgspec.json.Encoder().encode


class LogprobTeller:
    """For one job: which of what vLLM tells is asked for, and how tokens are named."""

    def __init__(self, sampling: Sampling, tokenizer: Any, is_chat: bool) -> None:
        self._tokenizer = tokenizer
        self._by_id = sampling.return_tokens_as_token_ids
        asked = sampling.others.get("logprobs") or 0
        if sampling.others.get("logprob_token_ids") or (asked < 0 and is_chat):
            self._most = None
        else:  # completions tell of the token that was drawn besides the likeliest ones; vLLM tells it first
            self._most = asked + (not is_chat)

    def entry(self, token_id: int, told: Mapping[int, Any] | None) -> str:
        """A token's entry: `token`, `logprob`, `bytes` and `top_logprobs`."""
        drawn = told.get(token_id) if told else None
        if told is None or drawn is None:
            name = self._name(token_id, None)
            return _json({"token": name, "logprob": LEAST, "bytes": _bytes(name), "top_logprobs": []})
        likeliest = list(told.items())[: self._most]
        return _json(
            {
                "token": self._name(token_id, drawn.decoded_token),
                "logprob": max(drawn.logprob, LEAST),
                "bytes": None if drawn.decoded_token is None else _bytes(drawn.decoded_token),
                "top_logprobs": [self._of(each, logprob) for each, logprob in likeliest],
            }
        )

    def _of(self, token_id: int, logprob: Any) -> dict[str, Any]:
        name = self._name(token_id, logprob.decoded_token)
        return {"token": name, "logprob": max(logprob.logprob, LEAST), "bytes": _bytes(name)}

    def _name(self, token_id: int, decoded: str | None) -> str:
        if self._by_id:
            return f"token_id:{token_id}"
        return str(self._tokenizer.decode(token_id)) if decoded is None else decoded


def prompt_logprobs(told: Sequence[Mapping[int, Any] | None]) -> str:
    """A prompt's logprobs as vLLM tells them: for each token but the first, those of what could have been there."""
    return _json([None if each is None else {str(id_): _of_prompt(one) for id_, one in each.items()} for each in told])


def _of_prompt(logprob: Any) -> dict[str, Any]:
    return {
        "logprob": max(logprob.logprob, LEAST),
        "rank": logprob.rank,
        "decoded_token": logprob.decoded_token,
    }


def _bytes(name: str) -> list[int]:
    return list(name.encode("utf-8", errors="replace"))


def _json(value: Any) -> str:
    return _encode(value).decode()
