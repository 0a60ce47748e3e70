"""Retention: traces of deleted and departed records go once no enrolled device can need them any more."""

from collections.abc import Iterable

import msgspec

from server.accounts.devices import Device, Devices
from server.storage.database import Database
from server.storage.singleton import PURGE, alone
from server.storage.traces import count_traces, portions
from sync.clock import DAY_MS, Milliseconds
from sync.storage import FeedPosition

TRACES_AT_ONCE = 10_000
"""Traces dropped in one transaction: on SQLite all writers wait for it, on PostgreSQL all cursors do."""


class Purge(msgspec.Struct, frozen=True):
    """What a purge did: `traces` dropped, up to `until`; `held_by` is the device that needs the next ones."""

    until: FeedPosition
    traces: int
    held_by: Device | None = None


class Retention:
    """Drops the traces in a database. A device not seen for `idle_days` is not waited for: it will start afresh."""

    def __init__(
        self, database: Database, idle_days: int, now_ms: Milliseconds, at_once: int = TRACES_AT_ONCE
    ) -> None:
        self._database = database
        self._idle_ms = idle_days * DAY_MS
        self._now_ms = now_ms
        self._at_once = at_once

    async def purge(self, *, dry_run: bool = False) -> Purge | None:
        """Drop what no device needs, in many short transactions; None while another process does it.

        One that is interrupted is gone on with by the next. A `dry_run` only counts.
        """
        async with alone(self._database.engine, PURGE) as here:
            if not here:
                return None
            slowest = slowest_device(await Devices(self._database, self._now_ms).of(), self._now_ms() - self._idle_ms)
            async with self._database.store.reading() as tx:
                horizon, purged = await tx.horizon(), await tx.purged()
            until = min(horizon, read_until(slowest)) if slowest else horizon
            if until <= purged:
                return Purge(purged, 0, slowest)
            if dry_run:
                return Purge(until, await count_traces(self._database.read_engine, until), slowest)
            return Purge(until, await self._drop(until), slowest)

    async def _drop(self, until: FeedPosition) -> int:
        dropped = 0
        for bound in await portions(self._database.read_engine, until, self._at_once):
            async with self._database.store.writing() as tx:
                dropped += await tx.purge(bound)
        return dropped


def slowest_device(devices: Iterable[Device], idle_before_ms: int) -> Device | None:
    """Of the devices that may come back, the one that has read least; None where there is none.

    Revoked devices receive nothing any more. One that has never pulled counts from its enrolment.
    """
    awaited = [
        device
        for device in devices
        if device.revoked_ms is None and max(device.seen_ms or 0, device.enrolled_ms) > idle_before_ms
    ]
    return min(awaited, key=read_until, default=None)


def read_until(device: Device) -> FeedPosition:
    """Up to where the device had read all its feeds when that was noted last."""
    return FeedPosition(device.read_tx or 0, device.read_version or 0)
