"""Damaged stores: noticed on opening, set aside, unsent work rescued."""

import random
import shutil
import sqlite3
import uuid
from contextlib import closing, suppress
from pathlib import Path

import pytest

from client_sdk.errors import StoreDamaged, StoreInUse, StoreTooNew
from client_sdk.store import opening
from client_sdk.store.damage import set_aside_files
from client_sdk.store.frames import CHANGE, frame, scan, unframe
from client_sdk.store.schema import SCHEMA_VERSION
from field_schemas.types.finding import Finding
from tests.fake_server import FakeServer
from tests.phones import city, finding, opened, phone

PAGE = 4096
SENT, UNSENT = 10, 30


@pytest.fixture
def server() -> FakeServer:
    return city()


async def worked(folder: Path, server: FakeServer, *, crashed: bool = False) -> tuple[Path, list[uuid.UUID]]:
    """A store with sent and unsent findings, closed, or as a crash leaves it with its log; the unsent changes."""
    path = folder / "li.db"
    copy = folder / "copy.db"
    async with phone(folder, server, "li") as li:
        for n in range(SENT):
            await li.create(finding(f"已发送{n}"))
        await li.sync()
        for n in range(UNSENT):
            await li.create(finding(f"未发送{n} " + "描述" * (n % 40)))
        unsent = [one.change for one in await li.pending()]
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{path}{suffix}", f"{copy}{suffix}")
    return (copy if crashed else path), unsent


def intact(path: Path) -> set[uuid.UUID]:
    """The changes whose bytes stand whole within one page of the file or its log."""
    found = set()
    for file, header in ((path, 0), (Path(f"{path}-wal"), 32)):
        data = file.read_bytes()[header:] if file.exists() else b""
        size = PAGE + 24 if header else PAGE
        for start in range(0, len(data), size):
            for payload in scan(data[start : start + size], CHANGE):
                found.add(uuid.UUID(bytes=payload_change_id(payload)))
    return found


def payload_change_id(payload: bytes) -> bytes:
    """The id of the change in a frame: the 16 bytes after the key `id`."""
    start = payload.index(b"\xa2id\xc4\x10") + 5
    return payload[start : start + 16]


async def check_rescue(path: Path, server: FakeServer, unsent: list[uuid.UUID], readable: set[uuid.UUID]) -> bool:
    """Whatever is readable reaches the server, if need be at the second opening; whether a rescue was needed."""
    with suppress(StoreDamaged):
        return await send_all(path, server, unsent, readable)
    return await send_all(path, server, unsent, readable)


async def send_all(path: Path, server: FakeServer, unsent: list[uuid.UUID], readable: set[uuid.UUID]) -> bool:
    """Open the store and sync; as `check_rescue`. Raises StoreDamaged when it meets damage only then."""
    async with opened(path, server) as li:
        pending = {one.change for one in await li.pending()}
        assert pending | server.state.log.keys() >= readable & set(unsent)
        if li.rescue is not None:
            assert set(li.rescue.changes) == pending
            assert li.rescue.damaged_file.exists()
        else:
            assert pending | server.state.log.keys() >= set(unsent)
        await li.sign_in("li", "secret")
        await li.sync()
        assert await li.pending() == []
        assert server.state.log.keys() >= readable & set(unsent)
        return li.rescue is not None


@pytest.mark.parametrize("crashed", [False, True])
@pytest.mark.parametrize("seed", range(12))
async def test_damage_at_any_offset(tmp_path: Path, server: FakeServer, seed: int, crashed: bool) -> None:
    """Bytes overwritten anywhere in file or log: every unsent change that is still whole is rescued and sent."""
    rng = random.Random(seed)
    path, unsent = await worked(tmp_path, server, crashed=crashed)
    target = Path(f"{path}-wal") if crashed and seed % 2 else path
    with target.open("r+b") as file:
        file.seek(rng.randrange(target.stat().st_size))
        file.write(rng.randbytes(rng.choice([1, 16, 300, PAGE])))
    await check_rescue(path, server, unsent, intact(path))


@pytest.mark.parametrize("part", [0.0, 0.3, 0.6, 0.9])
async def test_truncation(tmp_path: Path, server: FakeServer, part: float) -> None:
    """A file cut short is noticed, and what the rest holds is rescued."""
    path, unsent = await worked(tmp_path, server)
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * part))
    readable = intact(path)
    async with opened(path, server) as li:
        assert {one.change for one in await li.pending()} >= readable & set(unsent)
        assert (li.rescue is not None) == (part > 0)


async def test_an_overwritten_header_costs_nothing(tmp_path: Path, server: FakeServer) -> None:
    """Without the first 100 bytes SQLite reads nothing, but identity and all unsent work are rescued."""
    path, unsent = await worked(tmp_path, server)
    async with opened(path, server) as li:
        before = li.id
    with path.open("r+b") as file:
        file.write(bytes(100))
    async with opened(path, server) as li:
        assert li.rescue is not None
        assert (li.id, li.user, li.rescue.identity_kept, li.rescue.lost_sequences) == (before, "li", True, ())
        assert set(li.rescue.changes) >= set(unsent)
        await li.sign_in("li", "secret")
        report = await li.sync()
        assert report.verdicts == {"applied": len(li.rescue.changes)}
        assert len(await li.find(Finding)) == SENT + UNSENT


async def test_without_identity_the_work_goes_under_a_new_one(tmp_path: Path, server: FakeServer) -> None:
    """When the key is gone the device becomes a new one, and the server recognises the changes by their ids."""
    path, unsent = await worked(tmp_path, server)
    data = path.read_bytes()
    at = data.index(b"\xf7GWfi")
    path.write_bytes(bytes(100) + data[100:at] + bytes(60) + data[at + 60 :])
    async with opened(path, server) as li:
        assert li.rescue is not None
        assert (li.user, li.rescue.identity_kept) == ("li", False)
        await li.sign_in("li", "secret")
        await li.sync()
        assert len(await li.find(Finding)) == SENT + UNSENT
        assert server.state.log.keys() >= set(unsent)


async def test_a_damaged_change_is_reported_lost(tmp_path: Path, server: FakeServer) -> None:
    """A change whose bytes are damaged is named by its number; the others go out."""
    path, unsent = await worked(tmp_path, server)
    data = bytearray(path.read_bytes())
    payload = next(one for one in scan(bytes(data), CHANGE) if payload_change_id(one) == unsent[3].bytes)
    at = data.index(payload)
    data[at + 20] ^= 0xFF
    path.write_bytes(data)
    async with opened(path, server) as li:
        assert li.rescue is not None
        assert set(li.rescue.changes) == set(unsent) - {unsent[3]}
        assert len(li.rescue.lost_sequences) == 1
        assert len(await li.find(Finding, text="未发送")) == UNSENT - 1


async def test_unsent_work_that_is_lost_is_told(tmp_path: Path, server: FakeServer) -> None:
    """Where the outbox is destroyed with all that was not sent, the numbers of what is lost are told."""
    path, unsent = await worked(tmp_path, server)
    async with opened(path, server) as li:
        waiting = [row.seq for row in await li._store.run(lambda tables: list(tables.outbox.pending()))]
    data = bytearray(path.read_bytes())
    while (at := data.find(b"\xf7GWfc")) >= 0:
        data[at] ^= 0xFF
    path.write_bytes(data)
    async with opened(path, server) as li:
        assert li.rescue is not None
        assert li.rescue.changes == ()
        assert set(li.rescue.lost_sequences) >= set(waiting)
    assert len(waiting) >= len(unsent)


async def test_damage_found_at_work_is_rescued_at_the_next_opening(
    tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Damaged pages of a store too large to check at each opening are met in use; the next opening rescues."""
    monkeypatch.setattr(opening, "_SMALL_BYTES", 0)
    path, unsent = await worked(tmp_path, server)
    overwrite_leaf(path, "records")
    async with opened(path, server) as li:
        assert li.rescue is None
        with pytest.raises(StoreDamaged):
            await li.find(Finding)
    assert await check_rescue(path, server, unsent, set(unsent))


def overwrite_leaf(path: Path, table: str) -> None:
    """Fill a leaf page of the table with zeros."""
    with closing(sqlite3.connect(path)) as db:
        select = "SELECT max(pageno) FROM dbstat WHERE name = ? AND pagetype = 'leaf'"
        (page,) = db.execute(select, (table,)).fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(bytes(PAGE))


async def test_a_rescue_killed_halfway_is_finished(tmp_path: Path, server: FakeServer) -> None:
    """Killed between moving the damaged store away and the new one in, the next opening moves the new one in."""
    path, unsent = await worked(tmp_path, server)
    path.rename(tmp_path / "li.db.rescued")
    async with opened(path, server) as li:
        assert {one.change for one in await li.pending()} == set(unsent)


async def test_a_sound_store_is_left_alone(tmp_path: Path, server: FakeServer) -> None:
    """A store as a crash leaves it, log and all, opens without a rescue and with all unsent work."""
    path, unsent = await worked(tmp_path, server, crashed=True)
    assert not await check_rescue(path, server, unsent, set(unsent))


async def test_an_open_store_is_not_opened_twice(tmp_path: Path, server: FakeServer) -> None:
    """A second opening of a store in use is refused, and does not take it for damaged."""
    async with opened(tmp_path / "a.db", server) as first:
        with pytest.raises(StoreInUse):
            async with opened(tmp_path / "a.db", server):
                pass
        assert first.user is None
    assert names_in(tmp_path) == ["a.db"]


def names_in(folder: Path) -> list[str]:
    """The names of the files in a folder."""
    return [file.name for file in folder.iterdir()]


def test_frames_prove_their_content() -> None:
    """A frame gives its payload back, and any changed byte is noticed."""
    data = frame(CHANGE, b"payload")
    assert unframe(CHANGE, data) == b"payload"
    for at in range(len(data)):
        broken = bytearray(data)
        broken[at] ^= 1
        with pytest.raises(ValueError, match="damaged"):
            unframe(CHANGE, bytes(broken))


def test_sqlite_is_built_as_needed() -> None:
    """The SQLite of this Python has full-text search."""
    options = {row[0] for row in sqlite3.connect(":memory:").execute("PRAGMA compile_options")}
    assert "ENABLE_FTS5" in options


async def test_a_newer_store_is_left_alone(tmp_path: Path, server: FakeServer) -> None:
    """A store that a newer program wrote is not taken for a damaged one."""
    async with phone(tmp_path, server, "li") as li:
        await li.create(finding())
    path = tmp_path / "li.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(StoreTooNew):
        async with opened(path, server):
            pass
    assert path.read_bytes() == before
    assert [one.name for one in set_aside_files(path)] == []
