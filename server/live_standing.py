"""Lines to devices end when their sessions end, or their users' grants change: looked at again and again."""

import asyncio
from collections.abc import Sequence

import structlog
from sqlalchemy.exc import SQLAlchemyError

from server.accounts.sessions import Sessions
from server.live import Hub, Listener, Sleep
from sync.authority import authority_tag
from sync.clock import Milliseconds

EVERY_S = 15.0
_TOGETHER = 250

_log = structlog.get_logger(__name__)


async def end_outdated(hub: Hub, sessions: Sessions, now_ms: Milliseconds) -> None:
    """End the lines whose sessions have ended or been barred, or whose readers hold other grants than at the start.

    A device whose grants changed comes back and is poked: its next pull tells it of them.
    """
    listeners = list(hub.listeners)
    for start in range(0, len(listeners), _TOGETHER):
        await _end_outdated(hub, sessions, listeners[start : start + _TOGETHER], now_ms())


async def _end_outdated(hub: Hub, sessions: Sessions, listeners: Sequence[Listener], now_ms: int) -> None:
    standing = await sessions.standing([listener.reader.session for listener in listeners])
    for listener in listeners:
        who = standing.get(listener.reader.session)
        if who is None or authority_tag(who.grants, now_ms) != listener.reader.authority:
            hub.part(listener)


async def keep_current(hub: Hub, sessions: Sessions, now_ms: Milliseconds, sleep: Sleep = asyncio.sleep) -> None:
    """`end_outdated` each EVERY_S, until cancelled."""
    while True:
        await sleep(EVERY_S)
        try:
            await end_outdated(hub, sessions, now_ms)
        except (SQLAlchemyError, OSError) as error:
            _log.warning("live_check_failed", error=repr(error))
