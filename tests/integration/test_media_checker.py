"""What has arrived is checked against its record, its task and its device, on a real database."""

import hashlib
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from field_schemas.access import Role
from field_schemas.media_findings import Verdict
from field_schemas.types.media_check import MediaCheck
from media.inspection.inspector import Inspector
from media.thresholds import Thresholds
from server.accounts.devices import Device
from server.media.arrivals import Arrival
from server.media.shelf import Blob
from server.media_checks.checker import MediaChecker
from server.media_checks.seen import SeenInDatabase
from server.storage.database import Database, open_database
from tests.photos import Shot, photo
from tests.unit.builders import GRID, NOW, REGISTRY, Office, inspector, new_id, supervisor

HERE = {"lon": 114.059, "lat": 22.541}
LOCAL = datetime.fromtimestamp(NOW / 1000 + 8 * 3_600, UTC).strftime("%Y-%m-%dT%H:%M:%S")
HONEST = Shot(taken=LOCAL, saved=LOCAL)


class Desk:
    """A server's checker, and people who report with photos."""

    def __init__(self, database: Database, looking: Inspector, folder: Path) -> None:
        self.database = database
        self.office = Office(database.store)
        self.checker = MediaChecker(
            database, REGISTRY, looking, SeenInDatabase(database), Thresholds(), lambda: NOW + 60_000
        )
        self._folder = folder

    async def check(self, data: bytes, **fields: Any) -> MediaCheck:
        """The verdict on a photo of a new finding."""
        author, record = inspector("li"), new_id()
        await self.office.write(
            author, "finding", record, {"kind": "0102", "grid": GRID, "text": "", "place": HERE} | fields
        )
        async with self.database.store.reading() as tx:
            stored = (await tx.records([record]))[record]
            (change,) = await tx.history(record)
        path = self._folder / str(record)
        path.write_bytes(data)
        blob = Blob(f"sha256:{hashlib.sha256(data).hexdigest()}", len(data), "image/jpeg")
        device = Device(author.device, "li", bytes(32), "phone", "P60", NOW)
        return await self.checker.check(path, Arrival(blob, stored, change, device))

    async def task(self, **place: float) -> uuid.UUID:
        """A task at a place."""
        task = new_id()
        fields = {"subject": "井盖", "grid": GRID, "place": place}
        await self.office.write(supervisor(), "patrol_task", task, fields)
        return task


def codes(verdict: MediaCheck) -> set[str]:
    """The codes of its findings."""
    return {finding.code for finding in verdict.findings}


@pytest.fixture
async def desk(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    """A checker on a database of its own."""
    database = open_database(sqlite_url, 2)
    async with Inspector() as looking:
        yield Desk(database, looking, tmp_path)
    await database.close()


async def test_honest_photo(desk: Desk) -> None:
    """A photo taken at the record's time and place by the enrolled device is verified, for its author's scopes."""
    verdict = await desk.check(photo(HONEST))
    assert codes(verdict) == {"digest_matches", "time_matches", "place_matches", "device_matches"}
    assert (verdict.verdict, verdict.author) == (Verdict.VERIFIED, "li")
    assert f"grid:{GRID}" in verdict.concerns


async def test_place_of_the_task(desk: Desk) -> None:
    """A photo of a task is compared with the task's place too."""
    near, far = await desk.task(**HERE), await desk.task(lon=114.2, lat=22.541)
    assert "task_place_matches" in codes(await desk.check(photo(HONEST), task=near))
    other = Shot(seed=2, taken=LOCAL, saved=LOCAL)
    assert "task_place_differs" in codes(await desk.check(photo(other), task=far))


async def test_reused(desk: Desk) -> None:
    """The second record with the same picture, saved anew, is suspect and names the first."""
    first = await desk.check(photo(HONEST))
    again = await desk.check(photo(Shot(taken=LOCAL, saved=LOCAL, size=(320, 240))))
    assert first.earlier == []
    assert (again.verdict, again.earlier) == (Verdict.SUSPECT, [first.record])
    assert "seen_nearly_same" in codes(again)


async def test_what_is_no_photo(desk: Desk) -> None:
    """A file that cannot be decoded gets a verdict like any other."""
    verdict = await desk.check(b"\xff\xd8\xff\xe0 nothing of a photo")
    assert verdict.verdict is Verdict.UNVERIFIED
    assert "file_unreadable" in codes(verdict)


async def test_verdict_is_a_record(desk: Desk) -> None:
    """The verdict passes its type's own rules, and its author and supervisors may read it."""
    spec = REGISTRY.get("media_check")
    assert spec.access.read == {Role.SELF, Role.SUPERVISOR}
    assert spec.patch_of(await desk.check(photo(HONEST)))
