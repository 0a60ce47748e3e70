"""Devices: enrolled at sign-in with their public key, revoked by administrators."""

import uuid

import msgspec
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from server.accounts.tables import devices
from server.storage.database import Database
from sync.clock import Milliseconds
from sync.errors import SyncError
from sync.storage import FeedPosition

NOTED_EVERY_MS = 3_600_000
"""How often at most it is noted what a device has read: an hour later is early enough to forget deletions."""


class Device(msgspec.Struct, frozen=True):
    """An enrolled device. `public_key` is the raw Ed25519 key, 32 bytes; times are UTC ms.

    `seen_ms` is when it was noted last (NOTED_EVERY_MS) what it has read: all its feeds up to
    (`read_tx`, `read_version`).
    """

    id: uuid.UUID
    user_id: str
    public_key: bytes
    name: str
    model: str | None
    enrolled_ms: int
    revoked_ms: int | None = None
    seen_ms: int | None = None
    read_tx: int | None = None
    read_version: int | None = None


def noting_due(seen_ms: int | None, now_ms: int) -> bool:
    """Whether it is time to note what a device has read, last noted at `seen_ms`."""
    return seen_ms is None or seen_ms <= now_ms - NOTED_EVERY_MS


class Devices:
    """The devices in a database."""

    def __init__(self, database: Database, now_ms: Milliseconds) -> None:
        self._database = database
        self._now_ms = now_ms

    async def of(self, user: str | None = None) -> list[Device]:
        """The devices of `user`, or all, by time of enrolment."""
        query = select(devices).order_by(devices.c.enrolled_ms, devices.c.id)
        if user is not None:
            query = query.where(devices.c.user_id == user)
        async with self._database.read_engine.connect() as connection:
            return [Device(*row) for row in await connection.execute(query)]

    async def note_read(self, device: uuid.UUID, position: FeedPosition) -> None:
        """Note that a device has read its feeds up to `position`, unless that was done within NOTED_EVERY_MS."""
        now = self._now_ms()
        due = devices.c.seen_ms.is_(None) | (devices.c.seen_ms <= now - NOTED_EVERY_MS)
        noted = update(devices).where(devices.c.id == device, due)
        async with self._database.engine.begin() as connection:
            await connection.execute(noted.values(seen_ms=now, read_tx=position.tx, read_version=position.version))

    async def revoke(self, device: uuid.UUID) -> None:
        """From now on its changes are quarantined and it receives nothing. Raises SyncError `device_unknown`."""
        now = self._now_ms()
        async with self._database.engine.begin() as connection:
            number = devices.c.id == device
            await connection.execute(
                update(devices).where(number, devices.c.revoked_ms.is_(None)).values(revoked_ms=now)
            )
            if (await connection.execute(select(devices.c.id).where(number))).first() is None:
                raise SyncError("device_unknown", f"there is no device {device}")


async def enrol(connection: AsyncConnection, device: Device) -> None:
    """Enrol a device; the same device of the same user with the same key is enrolled once.

    A revoked one stays what it is: it may hand in what it holds, and nothing else. Raises SyncError `device_taken`.
    """
    try:
        async with connection.begin_nested():
            await connection.execute(insert(devices).values(msgspec.structs.asdict(device)))
    except IntegrityError:
        row = (await connection.execute(select(devices).where(devices.c.id == device.id))).one()
        _check_same(Device(*row), device)


def _check_same(enrolled: Device, device: Device) -> None:
    if (enrolled.user_id, enrolled.public_key) != (device.user_id, device.public_key):
        raise SyncError("device_taken", f"device {device.id} is enrolled with another key or user")
