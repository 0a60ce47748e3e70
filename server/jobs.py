"""What the server does by itself, by the clock on the wall."""

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy.exc import SQLAlchemyError

from media.errors import Unavailable
from server.media.arrivals import Arrivals
from server.media.pictures import Pictures
from server.media.upkeep import Upkeep
from server.retention import Retention
from server.snapshots.library import Snapshots
from sync.storage import Collision

PURGE_JOB = "purge"
COLLECT_JOB = "collect"
FINISH_JOB = "finish uploads"
CHECK_JOB = "check media"
PREPARE_JOB = "prepare pictures"
SNAPSHOTS_JOB = "snapshots"
_QUIET_HOUR = 3
"""Local time: the street is empty then."""
_LEFT_EVERY_S = 60
_CHECK_EVERY_S = 5
_PREPARE_EVERY_S = 5

_log = structlog.get_logger(__name__)


def daily_jobs(retention: Retention, snapshots: Snapshots) -> AsyncIOScheduler:
    """The scheduler, not started yet. A time that was missed is made up for once."""
    scheduler = AsyncIOScheduler(job_defaults={"coalesce": True, "misfire_grace_time": None})
    scheduler.add_job(_purge, CronTrigger(hour=_QUIET_HOUR), [retention], id=PURGE_JOB)
    scheduler.add_job(_drop_snapshots, CronTrigger(hour=_QUIET_HOUR), [snapshots], id=SNAPSHOTS_JOB)
    return scheduler


def add_media_jobs(scheduler: AsyncIOScheduler, upkeep: Upkeep, arrivals: Arrivals, pictures: Pictures) -> None:
    """Keep media in order by night, finish what was left every minute, check and draw what has arrived."""
    scheduler.add_job(_collect, CronTrigger(hour=_QUIET_HOUR, minute=30), [upkeep], id=COLLECT_JOB)
    scheduler.add_job(_finish_uploads, IntervalTrigger(seconds=_LEFT_EVERY_S), [upkeep], id=FINISH_JOB)
    scheduler.add_job(_check_media, IntervalTrigger(seconds=_CHECK_EVERY_S), [arrivals], id=CHECK_JOB)
    scheduler.add_job(pictures.prepare, IntervalTrigger(seconds=_PREPARE_EVERY_S), id=PREPARE_JOB)


async def _purge(retention: Retention) -> None:
    try:
        done = await retention.purge()
    except (SQLAlchemyError, OSError, Collision) as error:
        _log.warning("purge_failed", error=repr(error))
        return
    if done is not None:
        held_by = str(done.held_by.id) if done.held_by else None
        _log.info("purged", traces=done.traces, until=tuple(done.until), held_by=held_by)


async def _collect(upkeep: Upkeep) -> None:
    try:
        done = await upkeep.collect()
    except (SQLAlchemyError, OSError, Unavailable) as error:
        _log.warning("collection_failed", error=repr(error))
        return
    if done is not None:
        _log.info("collected", uploads=done.uploads, blobs=done.blobs, bytes=done.bytes, found=done.found)


async def _finish_uploads(upkeep: Upkeep) -> None:
    try:
        done = await upkeep.finish_left()
    except (SQLAlchemyError, OSError) as error:
        _log.warning("uploads_not_finished", error=repr(error))
        return
    if done:
        _log.info("uploads_finished", uploads=done)


async def _check_media(arrivals: Arrivals) -> None:
    try:
        await arrivals.check_due()
    except (SQLAlchemyError, OSError) as error:
        _log.warning("media_not_checked", error=repr(error))


async def _drop_snapshots(snapshots: Snapshots) -> None:
    try:
        dropped = snapshots.drop_unused()
    except OSError as error:
        _log.warning("snapshots_not_dropped", error=repr(error))
        return
    _log.info("snapshots_dropped", count=dropped)
