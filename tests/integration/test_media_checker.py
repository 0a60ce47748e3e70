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
from media.errors import BlobDamaged
from media.inspection.inspector import Inspector
from media.thresholds import Thresholds
from server.accounts.devices import Device
from server.media.arrivals import Arrival
from server.media.shelf import Blob
from server.media_checks.checker import MediaChecker
from server.media_checks.seen import SeenInDatabase
from server.storage.database import Database, open_database
from sync.authority import SERVER
from sync.clock import Captured
from tests.photos import Shot, photo
from tests.unit.builders import GRID, NOW, REGISTRY, Office, inspector, new_id, supervisor

LI = inspector("li")
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

    async def check(
        self,
        data: bytes,
        kind: str = "finding",
        *,
        told: dict[str, Any] | None = None,
        ahead_ms: int = 0,
        **fields: Any,
    ) -> MediaCheck:
        """The verdict on a photo of a new finding or note; `told` is more of its MediaRef.

        The clock of the author's phone is ahead by `ahead_ms`.
        """
        record = new_id()
        usual = {"grid": GRID, "text": "", "place": HERE} | ({"kind": "0102"} if kind == "finding" else {})
        named = {"media": [self._ref(data) | (told or {})]}
        captured = Captured(NOW + ahead_ms, NOW, 0)
        await self.office.write(LI, kind, record, usual | named | fields, captured=captured)
        return await self.check_of(record, data)

    async def answer(self, task: uuid.UUID, data: bytes) -> MediaCheck:
        """The verdict on a photo in an answer of a task."""
        answer = {"item": "a", "result": "ok", "answered_at": "2026-11-20T01:30:00Z", "media": [self._ref(data)]}
        await self.office.write(LI, "patrol_task", task, {"answers": [answer]}, base=1)
        return await self.check_of(task, data)

    async def delete(self, record: uuid.UUID) -> None:
        """Delete a record, as its author may."""
        await self.office.write(LI, "note", record, {}, delete=True)

    async def check_of(self, record: uuid.UUID, data: bytes, lying: bytes | None = None) -> MediaCheck:
        """The verdict on a photo that a record names; in the store something else may be `lying`."""
        async with self.database.store.reading() as tx:
            stored = (await tx.records([record]))[record]
            change = (await tx.history(record))[-1]
        path = self._folder / str(record)
        path.write_bytes(data if lying is None else lying)
        blob = Blob(self._ref(data)["digest"], len(data), "image/jpeg")
        device = Device(change.device, "li", bytes(32), "phone", "P60", NOW)
        return await self.checker.check(path, Arrival(blob, stored, change, device))

    @staticmethod
    def _ref(data: bytes) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        return {"digest": digest, "size": len(data), "media_type": "image/jpeg"}

    async def grid(self) -> None:
        """The unit grid that findings are in, some kilometres to the north of the photos."""
        ring = [(114.05, 22.6), (114.07, 22.6), (114.07, 22.62), (114.05, 22.62), (114.05, 22.6)]
        await self.office.write(SERVER, "unit_grid", new_id(), {"code": GRID, "boundary": {"rings": [ring]}})

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
    assert (again.verdict, again.earlier) == (Verdict.UNVERIFIED, [first.record])
    assert "seen_nearly_same" in codes(again)


async def test_the_same_file_again(desk: Desk) -> None:
    """The second record with the same file is suspect; the first stays as it was, however often it is checked."""
    data = photo(HONEST)
    first = await desk.check(data)
    again = await desk.check(data)
    assert (again.verdict, again.earlier) == (Verdict.SUSPECT, [first.record])
    assert (await desk.check_of(first.record, data)).verdict is Verdict.VERIFIED


async def test_photo_of_a_deleted_note(desk: Desk) -> None:
    """Whoever deletes a note and writes it anew uses the photo once."""
    data = photo(HONEST)
    first = await desk.check(data, "note")
    await desk.delete(first.record)
    assert (await desk.check(data, "note")).verdict is Verdict.VERIFIED


@pytest.mark.parametrize("answer_first", [True, False])
async def test_photo_of_one_task(desk: Desk, answer_first: bool) -> None:
    """An answer of a task and a finding of that task may show the same photo, in either order."""
    data, task = photo(HONEST), await desk.task(**HERE)
    first = await desk.answer(task, data) if answer_first else await desk.check(data, task=task)
    second = await desk.check(data, task=task) if answer_first else await desk.answer(task, data)
    assert [first.verdict, second.verdict] == [Verdict.VERIFIED] * 2


async def test_photo_of_one_matter(desk: Desk) -> None:
    """A note about a finding of a task, and an answer of the task, are one matter; notes on one thing are not."""
    data, task, cover = photo(HONEST), await desk.task(**HERE), new_id()
    finding = await desk.check(data, task=task)
    about = await desk.check(data, "note", about=finding.record)
    assert [(await desk.answer(task, data)).verdict, about.verdict] == [Verdict.VERIFIED] * 2
    await desk.office.write(LI, "component", cover, {"code": "1", "kind": "0102", "grid": GRID, "place": HERE})
    other = photo(Shot(seed=2, taken=LOCAL, saved=LOCAL))
    await desk.check(other, "note", about=cover)
    assert (await desk.check(other, "note", about=cover)).verdict is Verdict.SUSPECT


async def test_photo_of_one_case(desk: Desk) -> None:
    """A note about the case that came from a finding may show the finding's photo."""
    data, case = photo(HONEST), new_id()
    finding = await desk.check(data)
    fields = {"number": "2026-1", "subject": "井盖", "kind": "0102", "grid": GRID, "finding": str(finding.record)}
    await desk.office.write(LI, "case", case, fields)
    assert (await desk.check(data, "note", about=case)).verdict is Verdict.VERIFIED


async def test_wrong_clock_of_the_phone(desk: Desk) -> None:
    """A phone whose clock is an hour ahead: its photos are unverified, and the finding says why."""
    later = datetime.fromtimestamp(NOW / 1000 + 9 * 3_600, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    verdict = await desk.check(photo(Shot(taken=later, saved=later)), ahead_ms=3_600_000)
    assert "time_by_wrong_clock" in codes(verdict)
    assert verdict.verdict is Verdict.UNVERIFIED


async def test_what_the_record_tells_of_the_photo(desk: Desk) -> None:
    """Size, kind, time and place that a record tells of a photo are compared; of its name what is harmless stays."""
    lies = {
        "size": 1,
        "media_type": "video/mp4",
        "captured_at": "2020-01-01T00:00:00Z",
        "place": {"lon": 10.0, "lat": 50.0},
        "name": "../../etc/\u202epasswd\u0007.jpg",
    }
    verdict = await desk.check(photo(HONEST), told=lies)
    assert {"size_differs", "kind_differs", "time_differs", "told_place_differs"} <= codes(verdict)
    assert (await desk.office.fields(verdict.record))["media"][0]["name"] == "passwd.jpg"


async def test_damage_in_the_store_accuses_nobody(desk: Desk) -> None:
    """Bytes that are not the announced ones any more get no verdict: they were compared when they came."""
    data = photo(HONEST)
    first = await desk.check(data)
    with pytest.raises(BlobDamaged, match="sha256"):
        await desk.check_of(first.record, data, lying=data[:-500])


async def test_grid_of_the_record(desk: Desk) -> None:
    """A finding without position is compared with its unit grid, as far as that is known."""
    assert "place_not_claimed" in codes(await desk.check(photo(HONEST), place=None))
    await desk.grid()
    other = Shot(seed=2, taken=LOCAL, saved=LOCAL)
    assert "grid_differs" in codes(await desk.check(photo(other), place=None))


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
