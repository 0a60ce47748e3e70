"""News of commits between processes over PostgreSQL: NOTIFY after the commit, held back until a pull can see it.

Why not within the committing transaction: docs/decisions/0013-live-pokes.md.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import asyncpg
import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from server.live import Announcement, Hub, Sleep

CHANNEL = "gridwalk_live"
PAYLOAD_BYTES = 7_900
"""PostgreSQL takes payloads below 8,000 bytes."""
TOGETHER_S = 0.02
"""Commits within this time are announced together."""
_RECONNECT_S = 1.0
_MOST_WAITING = 1_000
_BEAT_S = 15.0
"""Silence after which the connection is tried."""
_PATIENCE_S = 10.0
"""A statement that takes longer was sent to nobody."""

_NOTIFY = f"SELECT pg_notify('{CHANNEL}', payload) FROM unnest($1::text[]) payload"  # noqa: S608 - a constant
_HORIZON = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::int8"
_SETTINGS = {
    "application_name": "gridwalk live",
    # A poke that a crash swallows is made up for by polling: it need not wait for the disk.
    "synchronous_commit": "off",
}
_LOST = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

_log = structlog.get_logger(__name__)
_decode = msgspec.json.Decoder(Announcement).decode


class PostgresNews:
    """Passes on this process' commits to all processes, and theirs to the hub. One connection of its own."""

    def __init__(self, engine: AsyncEngine, hub: Hub, sleep: Sleep = asyncio.sleep) -> None:
        self._engine = engine
        self._hub = hub
        self._sleep = sleep
        self._made: list[Announcement] = []
        self._heard: list[Announcement] = []
        self._wake = asyncio.Event()

    def announce(self, announcement: Announcement) -> None:
        """Tell all processes of a commit, soon."""
        self._made.append(announcement)
        if len(self._made) > _MOST_WAITING:
            self._made = [_everything(self._made)]
        self._wake.set()

    async def run(self) -> None:
        """Pass on news until cancelled; a database that is away is tried again for ever."""
        while True:
            try:
                connection = await self._connect()
                try:
                    await self._pass_on(connection)
                finally:
                    connection.terminate()
            except _LOST as error:
                _log.warning("live_connection_lost", error=repr(error))
                await self._sleep(_RECONNECT_S)

    async def _connect(self) -> Any:
        # The URL is SQLAlchemy's: only its dialect knows what the options in it are to the driver.
        _, options = self._engine.dialect.create_connect_args(self._engine.url)
        options = {name: value for name, value in options.items() if not name.startswith("prepared_statement_")}
        return await asyncpg.connect(**options, server_settings=_SETTINGS, command_timeout=_PATIENCE_S)

    async def _pass_on(self, connection: Any) -> None:
        connection.add_termination_listener(lambda _: self._wake.set())
        await connection.add_listener(CHANNEL, self._hear)
        # What was said while nobody listened is unknown.
        self._heard = [Announcement(0, None)]
        self._wake.set()
        while not connection.is_closed():
            await self._anything(connection)
            self._wake.clear()
            await self._send(connection)
            await self._deliver(connection)
            await self._sleep(TOGETHER_S)
        raise ConnectionResetError("the connection for live pokes was closed")

    async def _anything(self, connection: Any) -> None:
        """Wait for something to pass on, trying the connection meanwhile: a dead one may look like silence."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_BEAT_S):
                    await self._wake.wait()
                return
            await connection.execute("SELECT 1")

    def _hear(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        # With nobody to tell there is no need to wait for the horizon.
        if self._hub.listeners:
            self._heard.append(_decode(str(payload)))
            self._wake.set()

    async def _send(self, connection: Any) -> None:
        made, self._made = self._made, []
        if made:
            await connection.execute(_NOTIFY, [payload for payload, _ in announced(made)])

    async def _deliver(self, connection: Any) -> None:
        """Poke for what a pull would find by now; what an older open transaction still hides stays for later."""
        if not self._heard:
            return
        horizon = await connection.fetchval(_HORIZON)
        heard, self._heard = self._heard, []
        for announcement in heard:
            if announcement.tx < horizon:
                self._hub.poke(announcement.feeds, announcement.device)
        hidden = [announcement for announcement in heard if announcement.tx >= horizon]
        if len(hidden) > _MOST_WAITING:
            hidden = [_everything(hidden)]
        if hidden:
            self._heard = hidden + self._heard
            self._wake.set()


def _everything(ones: Iterable[Announcement]) -> Announcement:
    """One announcement in place of so many that nobody wants to keep them."""
    return Announcement(max(one.tx for one in ones), None)


def announced(made: Iterable[Announcement]) -> Iterator[tuple[str, Announcement]]:
    """The announcements, those of one device together, each with the text by which PostgreSQL carries it."""
    by_device: dict[uuid.UUID | None, list[Announcement]] = {}
    for one in made:
        by_device.setdefault(one.device, []).append(one)
    for device, ones in by_device.items():
        feeds = [one.feeds for one in ones if one.feeds is not None]
        whole = None if len(feeds) < len(ones) else frozenset[str]().union(*feeds)
        yield from _fitting(Announcement(max(one.tx for one in ones), whole, device))


def _fitting(one: Announcement) -> Iterator[tuple[str, Announcement]]:
    """The announcement, cut into several where it is too long."""
    text = msgspec.json.encode(one).decode()
    if len(text.encode()) <= PAYLOAD_BYTES:
        yield text, one
        return
    feeds = sorted(one.feeds or ())
    if len(feeds) == 1:
        yield from _fitting(msgspec.structs.replace(one, feeds=None))
        return
    for part in (feeds[::2], feeds[1::2]):
        yield from _fitting(msgspec.structs.replace(one, feeds=frozenset(part)))
