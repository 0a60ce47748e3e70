"""Work that one process of many does at a time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

PURGE = 0x67726965
COLLECT = 0x67726966
CHECK = 0x67726967
"""The locks of retention, of media that nobody needs, and of checks of media that arrived, on PostgreSQL."""


@asynccontextmanager
async def alone(engine: AsyncEngine, lock: int) -> AsyncIterator[bool]:
    """Whether this process may do the work that `lock` stands for, to the end of the context.

    On PostgreSQL an advisory lock, outside any transaction: an idle one would be ended. On SQLite always: whoever
    writes there is alone by the write transaction itself.
    """
    if engine.dialect.name != "postgresql":
        yield True
        return
    async with engine.connect() as connection:
        connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
        taken = bool((await connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": lock})).scalar())
        try:
            yield taken
        finally:
            if taken:
                await connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": lock})
