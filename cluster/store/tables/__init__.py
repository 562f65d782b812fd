"""The tables, a file for every noun: SQLModel classes declare them, queries use them as plain tables.

Times are milliseconds since the Unix epoch. SQL types are portable: the database may be a PostgreSQL one. Whoever
imports one file has declared all tables: `METADATA` is complete. A change needs a new file in `migrations/versions`.
"""

from sqlmodel import SQLModel

from cluster.store.tables import alarms, jobs, marks, measures, media, models, own, people, usage, webhooks

__all__ = ["METADATA", "alarms", "jobs", "marks", "measures", "media", "models", "own", "people", "usage", "webhooks"]

METADATA = SQLModel.metadata
