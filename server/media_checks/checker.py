"""The check of media that has arrived: what was claimed of it, what the file says, and the record of the verdict."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import msgspec

from field_schemas.media import DigestName, ref_in
from field_schemas.places import Area, Position
from field_schemas.record import type_of
from field_schemas.registry import Registry
from field_schemas.types.media_check import MediaCheck
from media.checks.claims import CaptureTime, Claims, SeenPicture
from media.checks.report import check
from media.checks.reuse import overtaken
from media.checks.seen import SeenPictures
from media.errors import BlobDamaged
from media.inspection.inspector import Inspector
from media.thresholds import Thresholds
from server.media.arrivals import Arrival, check_id
from server.media.rechecks import Rechecks, Wish
from server.media.references import TASK
from server.media_checks.matters import fields_of, related
from server.media_checks.whereabouts import grid_of, place_of
from server.storage.database import Database
from sync.clock import Milliseconds
from sync.storage import ReadTransaction, StoredRecord

_SAME = {"seen_same"}
_ALIKE = {"seen_nearly_same", *_SAME}


class MediaChecker:
    """Checks what has arrived, by `thresholds`; remembers every picture, so that those named later are compared with
    it, and has them checked again where they arrived earlier."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        inspector: Inspector,
        seen: SeenPictures,
        thresholds: Thresholds,
        now_ms: Milliseconds,
    ) -> None:
        self._database = database
        self._registry = registry
        self._inspector = inspector
        self._seen = seen
        self._thresholds = thresholds
        self._now_ms = now_ms
        self._rechecks = Rechecks(database, now_ms)

    async def check(self, file: Path, arrival: Arrival) -> MediaCheck:
        """The record that tells what `file` proves of the record that names it. Raises BlobDamaged."""
        digest, record = arrival.blob.digest, arrival.record
        facts = await self._inspector.inspect(file, _digest_name(digest))
        if facts.digest and facts.digest != digest:
            # They were the announced ones when they came: that is the store's fault, not the author's.
            raise BlobDamaged(f"the store holds {facts.digest} as {digest}")
        near = await self._seen.near(digest, facts.fingerprint, self._thresholds.photo_same_bits)
        async with self._database.store.reading() as tx:
            users = await tx.records({use.record for use in near} - {record.id})
            claims = await self._claims(tx, arrival, [user for user in users.values() if not user.deleted])
        gone = {key for key, user in users.items() if user.deleted}
        for key in gone:
            await self._seen.forget(key)
        known = [use for use in near if use.record not in gone]
        report = check(claims, facts, known, self._thresholds)
        await self._look_again(digest, overtaken(claims, known))
        use = SeenPicture(record.id, digest, facts.fingerprint, arrival.change.received_ms)
        await self._seen.remember(use)
        return MediaCheck(
            media=digest,
            record_type=record.type,
            record=record.id,
            author=arrival.change.user,
            verdict=report.verdict,
            findings=list(report.findings),
            concerns=list(record.scopes),
            checked_at=datetime.fromtimestamp(self._now_ms() / 1000, UTC),
            earlier=list(report.earlier),
        )

    async def _look_again(self, digest: str, later: Sequence[SeenPicture]) -> None:
        """Have later uses checked again whose verdict does not say that a picture like this was used before."""
        checks = {check_id(use.record, use.digest): use for use in later}
        if not checks:
            return
        async with self._database.store.reading() as tx:
            written = await tx.records(checks)
        for key, use in checks.items():
            told = _SAME if use.digest == digest else _ALIKE
            if key in written and not told & _codes(written[key]):
                await self._rechecks.ask(Wish(digests=(use.digest,), record=use.record))

    async def _claims(self, tx: ReadTransaction, arrival: Arrival, users: Sequence[StoredRecord]) -> Claims:
        """What is claimed of a file; `users` are the other records that use it, or a picture like it."""
        record, change = arrival.record, arrival.change
        task = await _task(tx, record)
        place = place_of(self._registry, record)
        task_place = place_of(self._registry, task) if task else place if isinstance(place, Area) else None
        return Claims(
            digest=arrival.blob.digest,
            record=record.id,
            capture=CaptureTime(
                ms=change.captured_ms,
                error_ms=change.error_ms,
                wall_ms=change.wall_ms,
                received_ms=change.received_ms,
            ),
            ref=ref_in(msgspec.msgpack.decode(change.fields), arrival.blob.digest),
            related=await related(tx, self._registry, record, users),
            position=place if isinstance(place, Position) else None,
            task_place=task_place,
            grid=None if place or task_place else await grid_of(tx, task or record),
            device=arrival.device.model,
        )


def _codes(stored: StoredRecord) -> set[str]:
    check = type_of(MediaCheck).typed(stored.fields, stored.id, stored.version)
    return {finding.code for finding in check.findings}


async def _task(tx: ReadTransaction, record: StoredRecord) -> StoredRecord | None:
    named = fields_of(record).get(TASK)
    if not isinstance(named, str):
        return None
    task = (await tx.records([UUID(named)])).get(UUID(named))
    return None if task is None or task.deleted else task


def _digest_name(digest: str) -> DigestName:
    return "sm3" if digest.startswith("sm3:") else "sha256"
