"""Unit tests run without Ray."""

from tests.support.fixtures import ascii_locale, database, fresh, no_ray, place, places, prepared_database

__all__ = ["ascii_locale", "database", "fresh", "no_ray", "place", "places", "prepared_database"]
