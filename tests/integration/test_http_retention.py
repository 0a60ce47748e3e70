"""What devices have read, and when traces of deleted records go: on a real server with either database."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from field_schemas.registry import load_types
from server.accounts.devices import Device, Devices
from server.jobs import PURGE_JOB, daily_jobs
from server.retention import Purge, Retention
from server.snapshots.files import SnapshotFiles
from server.snapshots.library import Snapshots
from server.storage.database import open_database
from server.storage.singleton import PURGE, alone
from sync.storage import FeedPosition
from tests.integration.http_server import GRID, HttpServer, Phone, problem

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
IDLE_DAYS = 180
START = FeedPosition()


@pytest.fixture
def city(database_url: str, tmp_path: Path) -> Iterator[HttpServer]:
    """A running server of the test's own."""
    with HttpServer(tmp_path, database_url) as running:
        yield running


def purge(city: HttpServer, *, dry_run: bool = False) -> Purge:
    """Purge as the server does every night."""

    def retention(accounts: Any) -> Any:
        return Retention(accounts.database, IDLE_DAYS, lambda: city.now_ms).purge(dry_run=dry_run)

    done: Purge | None = city.administer(retention)
    assert done is not None
    return done


def row_of(phone: Phone) -> Device:
    """What the server has noted of a device."""
    (device,) = [
        one
        for one in phone.server.administer(lambda accounts: accounts.devices.of(phone.user))
        if one.id == phone.device
    ]
    return device


def noted_pull(phone: Phone, cursor: str | None) -> str:
    """Pull an hour after anything before; the new cursor, once it is noted what was read."""
    phone.server.now_ms += HOUR_MS
    assert phone.refresh().status_code == 200
    after: str = phone.pull(cursor)["cursor"]
    for _ in range(500):
        if row_of(phone).seen_ms == phone.server.now_ms:
            return after
    raise AssertionError("the pull was not noted")


def a_note(phone: Phone) -> dict[str, Any]:
    """A new note, pushed; the change."""
    change = phone.change("note", fields={"grid": GRID, "text": "x"})
    assert phone.verdict(change)["outcome"] == "applied"
    return change


def delete(phone: Phone, note: dict[str, Any]) -> None:
    """Delete a note of one's own."""
    phone.refresh()
    gone = phone.change("note", record=note["record"], base=2**40, fields={}, delete=True)
    assert phone.verdict(gone)["outcome"] == "applied"


def test_a_pull_notes_what_was_read_before(city: HttpServer) -> None:
    """A pull notes when it was, and how far the cursor it came with had read."""
    phone = city.inspector()
    cursor = noted_pull(phone, None)
    assert (row_of(phone).read_tx, row_of(phone).read_version) == START
    a_note(phone)
    noted_pull(phone, noted_pull(phone, cursor))
    device = row_of(phone)
    assert FeedPosition(device.read_tx or 0, device.read_version or 0) > START


def test_traces_wait_for_the_slowest(city: HttpServer) -> None:
    """A deletion is remembered until every device has read it, and then no longer."""
    quick, slow = city.inspector(), city.inspector()
    note = a_note(quick)
    quick_cursor, slow_cursor = noted_pull(quick, None), noted_pull(slow, None)
    delete(quick, note)
    noted_pull(quick, noted_pull(quick, quick_cursor))
    waiting = purge(city)
    assert waiting.traces == 0
    assert waiting.held_by is not None
    assert waiting.held_by.id == slow.device
    slow_cursor = noted_pull(slow, slow_cursor)
    assert purge(city).traces == 0
    noted_pull(slow, slow_cursor)
    assert purge(city).traces == 2


def test_traces_wait_for_who_has_not_come_yet(city: HttpServer) -> None:
    """A device that was enrolled and has not pulled yet is waited for."""
    phone, new = city.inspector(), city.inspector()
    delete(phone, a_note(phone))
    noted_pull(phone, noted_pull(phone, None))
    assert purge(city).held_by == row_of(new)
    assert purge(city).traces == 0


def test_nobody_waits_for_a_revoked_device(city: HttpServer) -> None:
    """A revoked device holds nothing back."""
    phone, lost = city.inspector(), city.inspector()
    delete(phone, a_note(phone))
    noted_pull(phone, noted_pull(phone, None))
    city.administer(lambda accounts: accounts.devices.revoke(lost.device))
    assert purge(city).traces == 2


def test_a_dry_run_only_counts(city: HttpServer) -> None:
    """A dry run says what would go and leaves it."""
    phone = city.inspector()
    delete(phone, a_note(phone))
    noted_pull(phone, noted_pull(phone, None))
    assert [purge(city, dry_run=True).traces for _ in range(2)] == [2, 2]
    assert [purge(city).traces for _ in range(2)] == [2, 0]


def test_a_device_away_for_long(city: HttpServer) -> None:
    """A device away past the limit fetches afresh; a deleted record does not come back, by pull or by late edit."""
    phone, away = city.inspector(), city.inspector()
    note, kept = a_note(away), a_note(phone)
    cursor = noted_pull(away, None)
    delete(away, note)
    city.now_ms += (IDLE_DAYS + 1) * DAY_MS
    phone.sign_in()
    noted_pull(phone, noted_pull(phone, None))
    assert purge(city).traces == 2
    away.sign_in()
    assert problem(away.call("POST", "/v1/pull", {"cursor": cursor})) == (409, "cursor_expired")
    received = {record["id"] for record in away.pull()["records"]}
    assert kept["record"] in received
    assert note["record"] not in received
    late = away.change("note", record=note["record"], base=1, fields={"text": "still here"})
    assert away.verdict(late)["code"] == "record_deleted"
    assert note["record"] not in {record["id"] for record in away.pull()["records"]}


def test_a_first_sync_in_pages_after_a_purge(city: HttpServer) -> None:
    """A device that begins after a purge reads to the end, however small its pages."""
    phone = city.inspector()
    kept = {a_note(phone)["record"] for _ in range(3)}
    delete(phone, a_note(phone))
    noted_pull(phone, noted_pull(phone, None))
    assert purge(city).traces == 2
    new, cursor, more, received = city.inspector(), None, True, set()
    while more:
        page = new.ask("/v1/pull", {"cursor": cursor, "limit": 1})
        cursor, more = page["cursor"], page["more"]
        received |= {record["id"] for record in page["records"]}
    assert received == kept


def test_a_first_sync_that_a_purge_overtakes(city: HttpServer) -> None:
    """A device in the middle of its first sync is told to begin again when traces it may need are gone."""
    phone = city.inspector()
    notes = [a_note(phone) for _ in range(3)]
    new = city.inspector()
    page = new.ask("/v1/pull", {"limit": 1})
    delete(phone, notes[0])
    city.administer(lambda accounts: accounts.devices.revoke(new.device))
    noted_pull(phone, noted_pull(phone, None))
    assert purge(city).traces == 2
    other = city.inspector()
    assert problem(other.call("POST", "/v1/pull", {"cursor": page["cursor"]})) == (409, "cursor_expired")


def test_the_night_does_it(city: HttpServer, tmp_path: Path) -> None:
    """The job that runs every night purges what no device needs."""
    phone = city.inspector()
    delete(phone, a_note(phone))
    noted_pull(phone, noted_pull(phone, None))

    async def night(accounts: Any) -> None:
        files, clock = SnapshotFiles(tmp_path), lambda: city.now_ms
        snapshots = Snapshots(accounts.database.store, load_types(), files, clock, 1)
        retention = Retention(accounts.database, IDLE_DAYS, lambda: city.now_ms)
        job = daily_jobs(retention, snapshots).get_job(PURGE_JOB)
        assert str(job.trigger) == "cron[hour='3']"
        await job.func(*job.args)

    city.administer(night)
    assert purge(city).traces == 0


async def test_one_process_purges_at_a_time(postgres_url: str) -> None:
    """While one process purges, another leaves it alone, and can do it afterwards."""
    here, there = open_database(postgres_url), open_database(postgres_url)
    retention = Retention(there, IDLE_DAYS, lambda: 0)
    async with alone(here.engine, PURGE) as first:
        assert first
        assert await retention.purge() is None
    assert await retention.purge() is not None
    await here.close()
    await there.close()


def test_reading_is_noted_once_an_hour(city: HttpServer) -> None:
    """What a device has read is noted again only after an hour, whoever asks."""
    phone = city.inspector()
    noted = []
    for minutes, version in ((0, 1), (59, 2), (60, 3)):
        now = city.now_ms + minutes * 60_000
        _note_read(phone, now, version)
        noted.append(row_of(phone).read_version)
    assert noted == [1, 1, 3]


def _note_read(phone: Phone, now_ms: int, version: int) -> None:
    position = FeedPosition(0, version)
    phone.server.administer(
        lambda accounts: Devices(accounts.database, lambda: now_ms).note_read(phone.device, position)
    )
