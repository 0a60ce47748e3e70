"""The stores of synced records on SQLite and PostgreSQL, their schema, and its migrations.

Start with `server.storage.database.open_database`.
"""
