"""Versions of the schema, on PostgreSQL too."""

from tests.unit.test_migrations import (
    test_a_fresh_database_gets_the_tables_that_the_code_declares,
    test_an_upgrade_can_be_taken_back,
    test_opening_again_changes_nothing,
    test_what_an_older_version_wrote_is_read_and_ended_by_this_one,
)

__all__ = [
    "test_a_fresh_database_gets_the_tables_that_the_code_declares",
    "test_an_upgrade_can_be_taken_back",
    "test_opening_again_changes_nothing",
    "test_what_an_older_version_wrote_is_read_and_ended_by_this_one",
]
