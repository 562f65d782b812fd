"""Options of vLLM's engines that a catalogue names: refused at the start where vLLM has none of that name."""

from importlib.util import find_spec
from typing import Any

import pytest

from actors.backends import validate_engines
from actors.backends.vllm.options import engine_args
from cluster.catalogue import Model
from cluster.errors import ConfigError

pytestmark = pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")


def test_options_of_vllms_are_taken_whatever_their_values() -> None:
    options = {
        "max_model_len": "auto",
        "tensor_parallel_size": 2,
        "pipeline_parallel_size": 2,
        "kv_transfer_config": {"kv_connector": "NixlConnector", "kv_role": "kv_both"},
        "speculative_config": {"method": "ngram", "num_speculative_tokens": 3},
        "quantization": "fp8",
        "hf_overrides": {"anything": 1},
    }
    assert set(options) < engine_args()
    validate_engines([Model(id="m", engine=options)])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"max_model_length": 1}, "max_model_length: vLLM has no such option; did you mean max_model_len?"),
        ({"max-num-seqs": 1}, "max-num-seqs: vLLM has no such option; did you mean max_num_seqs?"),
        ({"dtype": "auto", "whatever": 1}, "whatever: vLLM has no such option"),
        ({"_api_process_count": 1}, "_api_process_count: vLLM has no such option"),
        ({"model": "org/other"}, "model: that is said by the model's source"),
    ],
)
def test_what_vllm_does_not_have_is_refused_by_name(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError) as refused:
        validate_engines([Model(id="m", engine=options)])
    assert str(refused.value).startswith(f"model m: engine: engine.{reason}")
