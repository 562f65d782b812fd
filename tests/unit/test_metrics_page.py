"""docs/metrics.md has every metric that the page can tell, as the page tells it, and no other."""

from api.system.metrics.page import Page
from tests.support import metrics_page

HOW = "run `python -m tests.support.metrics_page`"


def test_the_table_is_what_the_page_tells() -> None:
    assert metrics_page.written() == metrics_page.table(), HOW


def test_the_table_is_of_a_system_that_has_everything() -> None:
    """A metric without samples would have no labels in it."""
    empty = [family.name for family in Page(metrics_page.full_state()).collect() if not family.samples]
    assert empty == []


def test_no_metric_is_told_twice() -> None:
    names = [family.name for family in Page(metrics_page.full_state()).collect()]
    assert len(names) == len(set(names))
