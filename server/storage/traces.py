"""Where in the feeds the traces of deleted and departed records stand: how many, and in portions of bounded size."""

# ruff: noqa: S608 - statements are put together from constants only; values travel as parameters
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from server.storage import sql
from sync.storage import FeedPosition

_WITHIN = f"FROM feed WHERE {sql.NOT_YET_PURGED} AND {sql.IS_TRACE}".replace("$1", ":tx").replace("$2", ":version")
_COUNT = text(f"SELECT count(*) {_WITHIN}")
_BOUNDS = text(f"""
    SELECT tx, version FROM (
        SELECT tx, version, row_number() OVER (ORDER BY tx, version) AS number {_WITHIN}
    ) AS traces
    WHERE number % :size = 0
""")


async def count_traces(engine: AsyncEngine, until: FeedPosition) -> int:
    """How many traces up to `until` are not purged yet."""
    async with engine.connect() as connection:
        return int((await connection.execute(_COUNT, until._asdict())).scalar_one())


async def portions(engine: AsyncEngine, until: FeedPosition, size: int) -> list[FeedPosition]:
    """Growing bounds, the last of them `until`: purged one after the other, each drops about `size` traces.

    One write may leave traces in several feeds at one position; they are not parted.
    """
    async with engine.connect() as connection:
        rows = await connection.execute(_BOUNDS, until._asdict() | {"size": size})
        return sorted({*(FeedPosition(*row) for row in rows), until})
