"""Spans leave the process that tells them, cost nothing where nobody wants them, and hold up nobody."""

import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from actors.telemetry import origins, spans
from cluster import traceparent
from cluster.settings.sections.traces import Traces
from cluster.traceparent import SpanPlace
from tests.support.collector import collecting
from tests.support.waiting import wait_until

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PLACE = f"00-{TRACE}-{SPAN}-01"
OFF = """
import sys
from actors import directory
from actors.telemetry import origins, spans
from cluster.settings.sections.traces import Traces
spans.begin("scheduler", Traces())
with origins.within("a request", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"):
    with spans.inside("something"):
        pass
print([module for module in sys.modules if module.startswith("actors.telemetry.exporting")])
"""


@pytest.fixture(autouse=True)
def _told_no_longer() -> Iterator[None]:
    yield
    spans.end()


def test_off_nothing_is_imported_for_them() -> None:
    told = subprocess.run([sys.executable, "-c", OFF], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_what_is_under_way_is_told_with_its_error_and_below_its_parent() -> None:
    with collecting() as collector:
        spans.begin("ledger", Traces(collector.url))
        with origins.within("a request", PLACE), pytest.raises(KeyError), spans.inside("outer"):
            assert origins.current().request_id == "a request"
            with spans.inside("inner", "client"):
                raise KeyError("a secret")
        assert origins.current().trace == ""
        with spans.inside("of nothing that is traced") as span:
            assert span is None
        spans.end()
        inner, outer = sorted(collector.spans("inner", "outer"), key=lambda each: each.name)
        assert len(collector.spans()) == 2
        assert (outer.trace_id, outer.parent_id, inner.parent_id) == (TRACE, SPAN, outer.span_id)
        assert inner.attributes == outer.attributes == {"error.type": "KeyError"}
        assert b"a secret" not in collector.raw
        assert {inner.part, outer.part} == {"ledger"}


def test_one_that_is_on_this_machine_is_not_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with collecting() as collector:
        spans.begin("ledger", Traces(f"{collector.url}/v1/traces"))
        spans.tell("x", PLACE, "", 1, 2, {})
        spans.end()
        assert [span.name for span in collector.spans()] == ["x"]


def test_headers_and_names_are_those_of_the_exporters_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20Zm9v")
    with collecting() as collector:
        spans.begin("ledger", Traces(collector.url))
        spans.tell("x", PLACE, "", 1, 2, {})
        spans.end()
        assert collector.headers["authorization"] == "Basic Zm9v"


def test_a_collector_that_is_away_is_told_of_and_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    spans.begin("ledger", Traces("http://127.0.0.1:9"))
    with caplog.at_level(logging.WARNING):
        spans.tell("x", PLACE, "", 1, 2, {})
        wait_until(lambda: any("export" in record.getMessage() for record in caplog.records), 30, "a line of it")


def test_of_requests_without_a_decision_a_part_is_traced_the_same_everywhere() -> None:
    places = [spans.new_place(None) for _ in range(2000)]
    with collecting() as collector:
        decisions = []
        for _ in range(2):
            spans.begin("ingress", Traces(collector.url, 0.25))
            decisions.append([spans.by_chance(place) for place in places])
        assert decisions[0] == decisions[1]
        assert 400 < sum(decisions[0]) < 600
        for ratio, share in ((0.0, 0), (1.0, 2000)):
            spans.begin("ingress", Traces(collector.url, ratio))
            assert sum(map(spans.by_chance, places)) == share


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (PLACE, True),
        (f" {PLACE}\t", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"cc-{TRACE}-{SPAN}-01-of-later-versions", True),
        (f"cc-{TRACE}-{SPAN}-01.", None),
        (f"{PLACE}-more", None),
        (PLACE.upper(), None),
        (PLACE[:-1], None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        ("", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
    ],
)
def test_a_traceparent_is_read_as_the_standard_says(header: str, sampled: bool | None) -> None:
    place = traceparent.read(header)
    assert (None if place is None else place.is_sampled) is sampled
    if place is not None:
        assert str(place) == f"00-{TRACE}-{SPAN}-0{int(place.is_sampled)}"
        assert traceparent.read(str(place)) == place


def test_the_places_of_a_jobs_spans_follow_from_its_id() -> None:
    here, there = traceparent.of_job(PLACE, "job_1", "end"), traceparent.of_job(PLACE, "job_1", "end")
    assert here == there
    others = {traceparent.of_job(PLACE, job, label) for job in ("job_1", "job_2") for label in ("", "end", "submit")}
    assert len(others) == 6
    read = traceparent.read(here)
    assert isinstance(read, SpanPlace)
    assert read.trace_id == int(TRACE, 16)
    assert traceparent.of_job("", "job_1") == traceparent.of_job("nonsense", "job_1") == ""
