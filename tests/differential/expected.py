"""The requests that are known to be answered otherwise, and why. docs/openai.md has the reasons for users.

A request that stands here and is answered alike after all fails its test, so that this stays true.
"""

from collections.abc import Mapping

from tests.differential.case import Case, Mode

_STOPS = "vLLM 0.29 takes four stop strings at most; this system as many as one likes."
_BEAMS = "Beam search is refused by name: it is a whole answer's and has no stream to be carried on."
_UNHEEDED = "What would change the answer and is not heeded is refused by name; vLLM ignores it."
_TRANSFER = "Where keys and values of a prompt are is between engines here, and no client's to say: refused by name."
_OWN_IDS = "An answer's id is its job's, by which it can be read again."
_NULL = "To OpenAI's API `top_logprobs: null` is as good as left out; to vLLM it takes the logprobs away."
_OFFSETS = "In streams vLLM counts `text_offset` in characters from chunk to chunk, and in names of tokens in one."
_LOGPROBS_OF_MARKS = "In streams vLLM tells no logprobs of tokens that no chunk shows, such as the marks of a call."
_USAGE_OF_CHOICES = "Of several choices the thoughts are counted when all have ended; vLLM counts them in every chunk."
_OTHER_KIND = "A pooling model that is asked for text is named in a 400; vLLM has no such route then, and says 404."
_NEWEST_NAME = (
    "Where a score lacks a text, vLLM names `queries`, its newest name for it, whatever the others were named."
)
_ONE_OF_BOTH = "`/tokenize` takes a `prompt` or `messages`: who sends both is told so; vLLM reads the messages alone."
_SHAPE = "What vLLM's web framework refuses by itself has that framework's shape; here every error has OpenAI's."
_VERSION = "vLLM tells its own version there; this system is not vLLM."
_LOOK_UP = "vLLM's server has no `GET /v1/models/ID`, which OpenAI's API has, and this system."

DIFFERENCES: Mapping[str, str] = {
    "stopping/stop strings, more than four": _STOPS,
    "stopping/stop strings, many": _STOPS,
    "sampling/use_beam_search": _BEAMS,
    "completions/use_beam_search:plain": _BEAMS,
    "completions/return_tokens_as_token_ids:stream": _OFFSETS,
    "fields/web_search_options": _UNHEEDED,
    "structured/guided_choice of old": _UNHEEDED,
    "completions/best_of": _UNHEEDED,
    "fields/functions of old": _UNHEEDED,
    "fields/kv_transfer_params": _TRANSFER,
    "fields/request_id": _OWN_IDS,
    "logprobs/top_logprobs null": _NULL,
    "tokens/both": _ONE_OF_BOTH,
    "streaming/n of 2 with continuous usage:stream": _USAGE_OF_CHOICES,
    "tools/auto with logprobs:stream": _LOGPROBS_OF_MARKS,
    "tools/required with logprobs:stream": _LOGPROBS_OF_MARKS,
    "reasoning/on with logprobs:stream": _LOGPROBS_OF_MARKS,
    "embeddings/chat": _OTHER_KIND,
    "embeddings/completions": _OTHER_KIND,
    "score/no second text": _NEWEST_NAME,
    "score/a number": _NEWEST_NAME,
    "models/one that is not there": _LOOK_UP,
    "models/version": _VERSION,
    "models/a path that is not there": _SHAPE,
    "models/a method that is not there": _SHAPE,
    "invalid/body: not UTF-8": _SHAPE,
}
"""The reason for each request, by `topic/name`, or with `:plain` or `:stream` after it where only that differs."""


def reason(case: Case, mode: Mode) -> str | None:
    """Why this request is known to be answered otherwise; None where it should be answered alike."""
    return DIFFERENCES.get(f"{case.id}:{mode}") or DIFFERENCES.get(case.id)
