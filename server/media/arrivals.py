"""Media that has arrived and is named by a record is checked, and the verdict becomes a record like all others.

What is checked, and how, is the `Check` that the server is started with; this finds what is due, and writes.
"""

import uuid
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path

import msgspec
import structlog
from sqlalchemy import select, update

from field_schemas.media import digests_in
from field_schemas.record import Record, type_of
from media.errors import Unavailable
from server.accounts.devices import Device
from server.accounts.tables import devices
from server.group_commit import PushQueue
from server.media.pictures import Pictures
from server.media.references import References
from server.media.shelf import Blob, Shelf
from server.media.tables import blobs, media_claims, media_references
from server.storage.database import Database
from server.storage.singleton import CHECK, alone
from sync.authority import SERVER
from sync.clock import Captured, Milliseconds, stamp_at
from sync.ids import RandomBytes, derived_id, uuid7
from sync.messages import Change, Outcome
from sync.storage import LoggedChange, StoredRecord

_FIRST_RETRY_MS = 60_000
_LAST_RETRY_MS = 86_400_000
_log = structlog.get_logger(__name__)
_object = msgspec.msgpack.Decoder().decode


class Arrival(msgspec.Struct, frozen=True):
    """A blob, the record that names it as it stands now, the change that did so, and the author's device."""

    blob: Blob
    record: StoredRecord
    change: LoggedChange
    device: Device


Check = Callable[[Path, Arrival], Awaitable[Record]]
"""Looks into a file, which it must not change, and gives the record that tells the verdict."""


def check_id(record: uuid.UUID, digest: str) -> uuid.UUID:
    """The id of the record that tells the verdict on media which `record` names."""
    return derived_id(record, f"check of {digest}")


class _Due(msgspec.Struct, frozen=True):
    blob: Blob
    record: uuid.UUID
    user: str
    checks: int


class Arrivals:
    """What is to be checked in a database."""

    def __init__(
        self,
        database: Database,
        shelf: Shelf,
        references: References,
        queue: PushQueue,
        check: Check,
        pictures: Pictures,
        now_ms: Milliseconds,
        random_bytes: RandomBytes,
    ) -> None:
        self._database = database
        self._shelf = shelf
        self._references = references
        self._queue = queue
        self._check = check
        self._pictures = pictures
        self._now_ms = now_ms
        self._random_bytes = random_bytes

    async def check_due(self) -> int:
        """Check all that is due; how many verdicts were written. Another process may do it: then 0.

        People take turns, with one file each, so that nobody's many files hold up everybody else's few.
        """
        written, last = 0, ""
        async with alone(self._database.engine, CHECK) as here:
            while here and (due := await self._next_after(last) or await self._next_after("")):
                written += await self._try(due)
                last = due.user
        return written

    async def _next_after(self, user: str) -> _Due | None:
        """What has been due for the longest of the next person, in the order of their names."""
        wanted = (
            select(
                blobs.c.digest,
                blobs.c.size,
                blobs.c.media_type,
                media_references.c.record,
                media_references.c.user,
                media_references.c.checks,
            )
            .join(blobs, blobs.c.digest == media_references.c.digest)
            .join(
                media_claims,
                (media_claims.c.digest == media_references.c.digest)
                & (media_claims.c.user == media_references.c.user),
            )
            .where(
                media_references.c.user > user,
                media_references.c.check_ms <= self._now_ms(),
                blobs.c.stored_ms.is_not(None),
            )
            .order_by(media_references.c.user, media_references.c.check_ms)
            .limit(1)
        )
        async with self._database.read_engine.connect() as connection:
            row = (await connection.execute(wanted)).first()
        return None if row is None else _Due(Blob(*row[:3]), *row[3:])

    async def _try(self, due: _Due) -> bool:
        """Check one arrival; whether a verdict was written. What fails is tried again, later and later."""
        arrival, mine = None, False
        try:
            arrival = await self._arrival(due)
            mine = arrival is not None and arrival.change.user == due.user
            if arrival is not None and mine:
                async with self._shelf.file(due.blob) as file:
                    await self._write(due, await self._check(file, arrival))
        except Unavailable:
            # That the store is away is not the file's fault, however long it takes.
            await self._note(due, check_ms=self._now_ms() + _FIRST_RETRY_MS)
            return False
        except Exception as error:
            _log.warning("check_failed", digest=due.blob.digest, record=str(due.record), error=repr(error))
            arrival = None
        if arrival is None:
            wait_ms = min(_FIRST_RETRY_MS << min(due.checks, 20), _LAST_RETRY_MS)
            await self._note(due, check_ms=self._now_ms() + wait_ms, checks=due.checks + 1)
            return False
        basis = self._references.basis(arrival.record)
        await self._note(due, check_ms=None, checks=due.checks + 1, basis=basis)
        # It may have moved meanwhile.
        await self._references.look_again({due.record})
        self._pictures.expect(due.blob)
        return mine

    async def _arrival(self, due: _Due) -> Arrival | None:
        """None where the record, or a change that names the blob, is not there yet."""
        async with self._database.store.reading() as tx:
            record = (await tx.records([due.record])).get(due.record)
            history = await tx.history(due.record)
        if record is None or record.deleted:
            return None
        async with self._database.read_engine.connect() as connection:
            holding = select(media_claims.c.user).where(media_claims.c.digest == due.blob.digest)
            holders = set((await connection.execute(holding)).scalars())
            change = _deciding(record, history, due.blob.digest, holders)
            if change is None:
                return None
            row = (await connection.execute(select(devices).where(devices.c.id == change.device))).first()
        return Arrival(due.blob, record, change, Device(*row)) if row else None

    async def _write(self, due: _Due, verdict: Record) -> None:
        spec = type_of(type(verdict))
        now = self._now_ms()
        change = Change(
            id=uuid7(now, self._random_bytes),
            seq=0,
            type=spec.name,
            type_version=spec.version,
            record=check_id(due.record, due.blob.digest),
            stamp=stamp_at(now),
            captured=Captured(now, now, 0),
            fields=msgspec.Raw(spec.patch_of(verdict)),
        )
        (answer,) = (await self._queue.submit(SERVER, [change], as_json=False)).verdicts
        if answer.outcome is Outcome.REFUSED:
            raise ValueError(f"{answer.code}: {answer.detail}")

    async def _note(self, due: _Due, **noted: int | str | None) -> None:
        this = (
            media_references.c.digest == due.blob.digest,
            media_references.c.record == due.record,
            media_references.c.user == due.user,
        )
        async with self._database.engine.begin() as connection:
            await connection.execute(update(media_references).where(*this).values(**noted))


def _deciding(
    record: StoredRecord, history: Sequence[LoggedChange], digest: str, holders: Collection[str]
) -> LoggedChange | None:
    """The change that media of a record is judged by: the first of somebody who holds it to name it there.

    So nobody changes a verdict by naming the media once more. What was refused counts where it stands in the record
    all the same, because a supervisor applied it.
    """
    naming = [one for one in history if one.user in holders and digest in digests_in(_object(one.fields))]
    taken = [one for one in naming if one.outcome is not Outcome.REFUSED]
    if not taken and digest in digests_in(_object(record.fields)):
        taken = naming
    return taken[0] if taken else None
