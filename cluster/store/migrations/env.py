"""What Alembic runs: the migrations, on the connection and in the transaction that the caller opened."""

from alembic import context

from cluster.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
    render_as_batch=True,  # SQLite changes a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
