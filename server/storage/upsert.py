"""INSERT ... ON CONFLICT, which both databases have and SQLAlchemy spells twice."""

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection


def upsert(connection: AsyncConnection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An insert that can say what to do `on_conflict`."""
    return (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(table)
