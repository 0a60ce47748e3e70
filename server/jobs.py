"""What the server does by itself, by the clock on the wall."""

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from sqlalchemy.exc import SQLAlchemyError

from server.retention import Retention
from sync.storage import Collision

PURGE_JOB = "purge"
_QUIET_HOUR = 3
"""Local time: the street is empty then."""

_log = structlog.get_logger(__name__)


def daily_jobs(retention: Retention) -> AsyncIOScheduler:
    """The scheduler, not started yet. A time that was missed is made up for once."""
    scheduler = AsyncIOScheduler(job_defaults={"coalesce": True, "misfire_grace_time": None})
    scheduler.add_job(_purge, CronTrigger(hour=_QUIET_HOUR), [retention], id=PURGE_JOB)
    return scheduler


async def _purge(retention: Retention) -> None:
    try:
        done = await retention.purge()
    except (SQLAlchemyError, OSError, Collision) as error:
        _log.warning("purge_failed", error=repr(error))
        return
    if done is not None:
        held_by = str(done.held_by.id) if done.held_by else None
        _log.info("purged", traces=done.traces, until=tuple(done.until), held_by=held_by)
