"""Traces as files: a team's own, Azure's and BurstGPT's, and what is refused of them."""

from pathlib import Path

import pytest

from cluster.errors import ConfigError
from cluster.simulation.trace_file import read

HEADER = "arrived_s,account,model,prompt_tokens,output_tokens\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "trace.csv"


def test_a_team_s_own_in_any_order_from_second_0(file: Path) -> None:
    file.write_text(f"{HEADER}105.5,bob,m,10,20\n100,alice,n,1,2\n\n107,bob,m,3,4\n")
    traffic = read(file)
    assert traffic.models == ["n", "m"]
    assert traffic.accounts == ["alice", "bob"]
    assert list(traffic) == [(0.0, 0, 0, 1, 2), (5.5, 1, 1, 10, 20), (7.0, 1, 1, 3, 4)]


def test_azure_s(file: Path) -> None:
    file.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
        "2023-11-16 18:17:03.9799600,4808,10\r\n2023-11-16 18:17:05,3180,8\r\n"
    )
    traffic = read(file, model="code")
    assert (traffic.models, traffic.accounts) == (["code"], ["everybody"])
    assert list(traffic)[1] == (pytest.approx(1.02004), 0, 0, 3180, 8)
    with pytest.raises(ConfigError, match=r"trace.csv:1: names no models: say which one its requests are for"):
        read(file)


def test_burstgpt_s_without_those_that_failed(file: Path) -> None:
    file.write_text(
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        "5,ChatGPT,472,18,490,Conversation log\n45,ChatGPT,0,0,0,Conversation log\n118,GPT-4,417,276,693,API log\n"
    )
    traffic = read(file, names={"GPT-4": "large"})
    assert traffic.models == ["ChatGPT", "large"]
    assert list(traffic) == [(0.0, 0, 0, 472, 18), (113.0, 1, 0, 417, 276)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "1: needs the columns arrived_s, account, model, prompt_tokens and output_tokens, .*; has none"),
        ("a,b\n", "1: needs the columns .*; has a, b"),
        (HEADER, " has no requests"),
        (f"{HEADER}1,a,m,2\n", "2: has 4 values for 5 columns"),
        (f"{HEADER}1,a,m,2,3\nx,a,m,2,3\n", "3: arrived_s: must be a time, not 'x'"),
        (f"{HEADER}-1,a,m,2,3\n", "2: arrived_s: must be a time, not '-1'"),
        (f"{HEADER}nan,a,m,2,3\n", "2: arrived_s: must be a time, not 'nan'"),
        (f"{HEADER}1,a,m,2.5,3\n", "2: prompt_tokens: must be an integer from 0 to 10000000, not '2.5'"),
        (f"{HEADER}1,a,m,2,-3\n", "2: output_tokens: must be an integer from 0 to 10000000, not '-3'"),
        (f"{HEADER}1,a, ,2,3\n", "2: model: is empty"),
        (f"{HEADER}1,,m,2,3\n", "2: account: is empty"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_line(file: Path, content: str, reason: str) -> None:
    file.write_text(content)
    with pytest.raises(ConfigError, match=f"^{file}:{reason}"):
        read(file)


def test_a_file_that_cannot_be_read(file: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read(file)
    file.write_bytes(HEADER.encode() + b"\xff")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        read(file)
