"""The check of media that has arrived: what was claimed of it, what the file says, and the record of the verdict."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from field_schemas.media import DigestName
from field_schemas.places import Area, Position
from field_schemas.registry import Registry
from field_schemas.types.media_check import MediaCheck
from media.checks.claims import CaptureTime, Claims, SeenPicture
from media.checks.report import check
from media.checks.seen import SeenPictures
from media.inspection.inspector import Inspector
from media.thresholds import Thresholds
from server.media.arrivals import Arrival
from server.storage.database import Database
from sync.clock import Milliseconds
from sync.storage import StoredRecord

_TASK = "task"
"""The field by which a record says which task it belongs to."""


class MediaChecker:
    """Checks what has arrived, by `thresholds`; remembers every picture, so that later ones are compared with it."""

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

    async def check(self, file: Path, arrival: Arrival) -> MediaCheck:
        """The record that tells what `file` proves of the record that names it."""
        digest, record = arrival.blob.digest, arrival.record
        facts = await self._inspector.inspect(file, _digest_name(digest))
        claims = await self._claims(arrival)
        earlier = await self._seen.near(digest, facts.fingerprint, self._thresholds.photo_same_bits)
        report = check(claims, facts, earlier, self._thresholds)
        await self._seen.remember(SeenPicture(record.id, digest, facts.fingerprint))
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

    async def _claims(self, arrival: Arrival) -> Claims:
        change = arrival.change
        place = self._place(arrival.record)
        task = await self._task(arrival.record)
        return Claims(
            digest=arrival.blob.digest,
            record=arrival.record.id,
            capture=CaptureTime(ms=change.captured_ms, error_ms=change.error_ms, received_ms=change.received_ms),
            related=frozenset({task.id} if task else ()),
            position=place if isinstance(place, Position) else None,
            task_place=self._place(task) if task else place if isinstance(place, Area) else None,
            device=arrival.device.model,
        )

    async def _task(self, record: StoredRecord) -> StoredRecord | None:
        named = _fields(record).get(_TASK)
        if not isinstance(named, str):
            return None
        async with self._database.store.reading() as tx:
            return (await tx.records([UUID(named)])).get(UUID(named))

    def _place(self, record: StoredRecord) -> Position | Area | None:
        spec = self._registry.get(record.type)
        value = _fields(record).get(spec.place) if spec.place else None
        if value is None:
            return None
        return msgspec.convert(value, Area) if "rings" in value else msgspec.convert(value, Position)


def _fields(record: StoredRecord) -> dict[str, Any]:
    return msgspec.msgpack.decode(record.fields, type=dict[str, Any])


def _digest_name(digest: str) -> DigestName:
    return "sm3" if digest.startswith("sm3:") else "sha256"
