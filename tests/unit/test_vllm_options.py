"""Options of vLLM's engines that a catalogue names: refused at the start where vLLM has none of that name."""

from importlib.util import find_spec
from typing import Any

import pytest

from actors.backends import option_faults
from actors.backends.vllm.making import engine_args as made_args
from actors.backends.vllm.options import engine_args
from cluster.catalogue import Model


def faults(**options: Any) -> list[str]:
    """What is wrong with these options, in words."""
    return [f"{fault.option}: {fault.reason}" for fault in option_faults("vllm", options)]


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
    assert faults(**options) == []


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
    (fault,) = faults(**options)
    assert fault.startswith(reason)


def test_parsers_of_answers_are_named_beside_them() -> None:
    options = {"tool_call_parser": "hermes", "reasoning_parser": "qwen3", "exclude_tools_when_tool_choice_none": True}
    assert faults(**options) == faults(tool_call_parser=None) == []


def test_what_only_vllms_server_takes_does_not_reach_the_engine() -> None:
    options = {"tool_call_parser": "hermes", "enable_auto_tool_choice": True, "reasoning_parser": "qwen3", "seed": 1}
    args = made_args(Model(id="m", engine=options), "org/m")
    assert set(args) <= engine_args()
    assert (args["reasoning_parser"], args["seed"]) == ("qwen3", 1)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"tool_call_parser": "herms"}, "tool_call_parser: vLLM has no parser herms; did you mean hermes?"),
        (
            {"tool_call_parser": "Qwen3-Coder"},
            "tool_call_parser: vLLM has no parser Qwen3-Coder; did you mean qwen3_co",
        ),
        ({"tool_call_parser": ["hermes"]}, "tool_call_parser: must be text"),
        (
            {"reasoning_parser": "deepseek-r1"},
            "reasoning_parser: vLLM has no parser deepseek-r1; did you mean deepseek_",
        ),
        ({"tool_call_parsers": "x"}, "tool_call_parsers: vLLM has no such option; did you mean tool_call_parser?"),
        ({"enable_auto_tool_choice": True}, "enable_auto_tool_choice: needs a tool_call_parser"),
        ({"enable_auto_tool_choice": "yes"}, "enable_auto_tool_choice: must be true or false"),
    ],
)
def test_a_parser_that_vllm_does_not_have_is_refused_by_name(options: dict[str, Any], reason: str) -> None:
    (fault,) = faults(**options)
    assert fault.startswith(reason)


def test_parsers_of_a_plugin_have_names_of_their_own() -> None:
    assert faults(reasoning_parser="mine", reasoning_parser_plugin="/x.py") == []
