"""Selectors of labels: what Ray would refuse is refused before anything starts, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray._private.label_utils import validate_label_selector

from cluster.errors import ConfigError
from cluster.settings.checks import Value
from cluster.settings.label_selectors import label_selectors


def accepted(labels: dict[str, str]) -> bool:
    try:
        given = Value({key: Value(wanted, f"labels.{key}") for key, wanted in labels.items()}, "labels")
        assert label_selectors(given) == labels
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize(
    "value", ["spot", "!spot", "in(H100,A100)", "in(H100, A100)", "!in(spot)", "a", "1.2_3-x", "x" * 63]
)
def test_these_select(value: str) -> None:
    assert accepted({"ray.io/accelerator-type": value, "tier": value})


@pytest.mark.parametrize("value", ["", "-spot", "spot-", "in()", "in(a,)", "in(a", "!!a", "a b", "x" * 64, "in(a,  b)"])
def test_these_do_not(value: str) -> None:
    assert not accepted({"tier": value})


@pytest.mark.parametrize("key", ["", "-a", "a/", "/a", "a/b/c", "a b", "x" * 64, "a..b/c"])
def test_these_are_no_names(key: str) -> None:
    assert not accepted({key: "a"})


@given(
    st.from_regex(r"[a-zA-Z0-9._/-]{1,12}", fullmatch=True),
    st.one_of(st.from_regex(r"!?(in)?\(?[a-zA-Z0-9._, -]{0,12}\)?", fullmatch=True), st.text(max_size=8)),
)
def test_whatever_is_accepted_ray_takes(key: str, value: str) -> None:
    if accepted({key: value}):
        assert validate_label_selector({key: value}) is None
