"""News of commits over one SQLite file: this process' own at once, other processes' by looking."""

import asyncio
from collections.abc import Collection
from typing import Any

import msgspec
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from server.live import Announcement, Hub, Sleep
from server.storage.database import Database

LOOK_EVERY_S = 0.1

# On the connection by which this process writes, data_version changes with the commits of others only.
_LOOK = "SELECT last_version, (SELECT data_version FROM pragma_data_version) FROM store"
# A street is a feed itself; a district stands for all feeds that start with it.
_WRITTEN = """
    WITH RECURSIVE wanted(key) AS (SELECT value FROM json_each(?1)), keys(key, beyond) AS (
        SELECT key, key || char(1114111) FROM wanted WHERE key GLOB 'grid:[0-9][0-9][0-9][0-9][0-9][0-9]'
        UNION ALL
        SELECT (SELECT min(feed) FROM feed WHERE feed > keys.key AND feed < beyond), beyond
        FROM keys WHERE key IS NOT NULL
    )
    SELECT key FROM (SELECT key FROM wanted UNION SELECT key FROM keys WHERE key IS NOT NULL)
    WHERE EXISTS (SELECT 1 FROM feed WHERE feed.feed = key AND tx = 0 AND version > ?2)
"""

_log = structlog.get_logger(__name__)


class _Look(msgspec.Struct, frozen=True):
    """What the file looks like: the last version given, and a number that other processes' commits change."""

    last_version: int
    data_version: int


class SqliteNews:
    """Passes on commits to the hub: own ones as they are announced, others' within LOOK_EVERY_S."""

    def __init__(self, database: Database, hub: Hub, sleep: Sleep = asyncio.sleep) -> None:
        self._database = database
        self._hub = hub
        self._sleep = sleep

    def announce(self, announcement: Announcement) -> None:
        """Poke for a commit of this process."""
        self._hub.poke(announcement.feeds, announcement.device)

    async def run(self) -> None:
        """Look for other processes' commits while anyone listens, until cancelled."""
        seen: _Look | None = None
        while True:
            if not self._hub.listeners:
                seen = None
                await self._hub.anyone()
            try:
                seen = await self._look(seen)
            except (SQLAlchemyError, OSError) as error:
                _log.warning("live_look_failed", error=repr(error))
            await self._sleep(LOOK_EVERY_S)

    async def _look(self, seen: _Look | None) -> _Look:
        ((last_version, data_version),) = await _rows(self._database.engine, _LOOK)
        now = _Look(last_version, data_version)
        if seen is None:
            # What others wrote since the first listener came is unknown.
            self._hub.poke(None)
        elif now.data_version != seen.data_version and now.last_version > seen.last_version:
            self._hub.poke(await self._written(self._hub.feeds, seen.last_version))
        return now

    async def _written(self, feeds: Collection[str], after: int) -> list[str]:
        """Which of the feeds, and of those in the districts, were written to after this version."""
        rows = await _rows(self._database.read_engine, _WRITTEN, msgspec.json.encode(list(feeds)).decode(), after)
        return [key for (key,) in rows]


async def _rows(engine: AsyncEngine, statement: str, *parameters: Any) -> list[Any]:
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        return list(await driver.execute_fetchall(statement, parameters))
