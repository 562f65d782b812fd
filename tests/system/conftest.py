"""The whole control plane in one process, without Ray."""

from tests.support.fixtures import database, no_ray, prepared_database

__all__ = ["database", "no_ray", "prepared_database"]
