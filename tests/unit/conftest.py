"""Unit tests run without Ray."""

from tests.support.fixtures import database, fresh, no_ray, place, places, prepared_database

__all__ = ["database", "fresh", "no_ray", "place", "places", "prepared_database"]
