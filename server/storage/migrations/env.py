"""Run by Alembic: applies the steps in the transaction that `server.storage.migrate` opened."""

from alembic import context

from server.storage.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
