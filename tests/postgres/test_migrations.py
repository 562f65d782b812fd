"""Versions of the schema, on PostgreSQL too."""

from tests.unit.test_migrations import (
    test_a_fresh_database_gets_the_tables_that_the_code_declares,
    test_an_upgrade_can_be_taken_back,
    test_opening_again_changes_nothing,
    test_what_an_older_version_wrote_is_read_and_ended_by_this_one,
)
from tests.unit.test_upgrades import (
    test_all_that_was_there_is_there_and_what_was_open_goes_on,
    test_all_upgrades_can_be_taken_back_and_nothing_of_before_is_lost,
    test_what_admins_set_and_what_signs_sessions_stays,
    test_what_was_counted_before_is_counted_on,
    test_what_was_to_be_told_is_told,
)

__all__ = [
    "test_a_fresh_database_gets_the_tables_that_the_code_declares",
    "test_all_that_was_there_is_there_and_what_was_open_goes_on",
    "test_all_upgrades_can_be_taken_back_and_nothing_of_before_is_lost",
    "test_an_upgrade_can_be_taken_back",
    "test_opening_again_changes_nothing",
    "test_what_admins_set_and_what_signs_sessions_stays",
    "test_what_an_older_version_wrote_is_read_and_ended_by_this_one",
    "test_what_was_counted_before_is_counted_on",
    "test_what_was_to_be_told_is_told",
]
