"""The steps by which a database reaches the present schema (Alembic); `server.storage.migrate` runs them."""
