"""The whole control plane in one process, without Ray: what its tests start from is that of the unit tests."""

from tests.unit.conftest import _no_ray, _prepared_database, database, quick

__all__ = ["_no_ray", "_prepared_database", "database", "quick"]
