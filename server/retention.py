"""Retention: traces of deleted and departed records go once no enrolled device can need them any more."""

from collections.abc import Iterable

import msgspec

from server.accounts.devices import Device, Devices
from server.storage.database import Database
from server.storage.singleton import PURGE, alone
from sync.clock import DAY_MS, Milliseconds
from sync.storage import FeedPosition, WriteTransaction


class Purge(msgspec.Struct, frozen=True):
    """What a purge did: `traces` dropped, up to `until`; `held_by` is the device that needs the next ones."""

    until: FeedPosition
    traces: int
    held_by: Device | None = None


class _Tried(Exception):
    """Ends the transaction of a purge that was only tried."""


class Retention:
    """Drops the traces in a database. A device not seen for `idle_days` is not waited for: it will start afresh."""

    def __init__(self, database: Database, idle_days: int, now_ms: Milliseconds) -> None:
        self._database = database
        self._idle_ms = idle_days * DAY_MS
        self._now_ms = now_ms

    async def purge(self, *, dry_run: bool = False) -> Purge | None:
        """Drop what no device needs; None while another process does it. A `dry_run` only counts."""
        async with alone(self._database.engine, PURGE) as here:
            if not here:
                return None
            slowest = slowest_device(await Devices(self._database, self._now_ms).of(), self._now_ms() - self._idle_ms)
            done = Purge(FeedPosition(), 0, slowest)
            try:
                async with self._database.store.writing() as tx:
                    done = await _drop(tx, slowest)
                    if dry_run:
                        raise _Tried
            except _Tried:
                pass
            return done


async def _drop(tx: WriteTransaction, slowest: Device | None) -> Purge:
    horizon, purged = await tx.horizon(), await tx.purged()
    until = min(horizon, read_until(slowest)) if slowest else horizon
    if until <= purged:
        return Purge(purged, 0, slowest)
    return Purge(until, await tx.purge(until), slowest)


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
