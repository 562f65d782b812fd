"""What a transaction is, on PostgreSQL too."""

from tests.unit.test_store import (
    database,
    test_a_batch_that_is_taken_apart_is_given_up_when_the_database_goes_away,
    test_errors_cross_process_borders_without_what_was_written,
    test_only_the_bad_write_of_a_batch_fails,
    test_writes_answer_and_refuse_without_disturbing_others,
    test_writes_of_a_batch_are_committed_together,
)

__all__ = [
    "database",
    "test_a_batch_that_is_taken_apart_is_given_up_when_the_database_goes_away",
    "test_errors_cross_process_borders_without_what_was_written",
    "test_only_the_bad_write_of_a_batch_fails",
    "test_writes_answer_and_refuse_without_disturbing_others",
    "test_writes_of_a_batch_are_committed_together",
]
