"""A snapshot in the device's store: what it replaces, and indexes that are made after it, whatever breaks off."""

import random
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from client_sdk.errors import Offline
from client_sdk.store import loading, texts
from client_sdk.store.exchanging import start_over
from client_sdk.store.meta import Unindexed
from client_sdk.store.opening import open_store
from client_sdk.store.thread import Tables
from field_schemas.types.component import Component
from sync.messages import Snapshot, SnapshotBlock, WireRecord
from sync.snapshot import encode_block
from tests.fake_server import REGISTRY, FakeServer
from tests.fake_time import START_MS
from tests.phones import STREET, opened
from tests.snapshot_roads import (
    MANY,
    Road,
    break_off,
    end,
    large_city,
    travelling,
)


@pytest.fixture
async def server() -> FakeServer:
    """A city with enough components for a snapshot of five blocks."""
    return await large_city()


def by_id(record: Component) -> uuid.UUID:
    """Key to sort by."""
    return record.id


async def loaded(path: Path, server: FakeServer) -> Tables:
    """The store of a phone that was killed when its snapshot was loaded, and nothing of it indexed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texts, "index_some", lambda _tables, _goal: False)
        async with opened(path, server) as device:
            await device.sign_in("chen", "secret")
            await device.sync()
    tables, _ = open_store(path, REGISTRY, START_MS, random.Random(1).randbytes)
    assert tables.meta.unindexed == Unindexed(0, MANY)
    return tables


def indexes(path: Path) -> set[str]:
    """The names of the store's indexes."""
    with closing(sqlite3.connect(path)) as database:
        return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}


async def test_texts_are_found_while_a_snapshot_loads(tmp_path: Path, server: FakeServer) -> None:
    """A search finds all that is here by then, though texts are indexed only after the snapshot, in steps."""
    road = Road(server)

    road.accidents = [break_off, end]
    async with travelling(tmp_path / "li.db", server, road) as device:
        with pytest.raises(Offline):
            await device.sync()
        here = await device.find(Component)
        assert sorted(await device.find(Component, text="44030401"), key=by_id) == here
        await device.sync()
        assert len(await device.find(Component, text="44030401")) == MANY


@pytest.mark.parametrize("steps", range(4))
async def test_indexing_survives_being_killed(
    tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """Killed after any step of indexing, the next process goes on where it was; changes in between are kept."""
    monkeypatch.setattr(texts, "_STEP", 5)
    tables = await loaded(tmp_path / "chen.db", server)
    for _ in range(steps):
        tables.db.execute("BEGIN IMMEDIATE")
        texts.index_some(tables, MANY)
        tables.db.execute("COMMIT")
    tables.db.execute("BEGIN IMMEDIATE")
    texts.index_some(tables, MANY)
    tables.db.close()
    async with opened(tmp_path / "chen.db", server) as device:
        changed, deleted, *_ = await device.find(Component)
        await device.update(changed, remark="井盖松动")
        await device.delete(deleted)
        assert await device.find(Component, text="盖松") == [await device.get(Component, changed.id)]
        assert len(await device.find(Component, text="44030401")) == MANY - 1


@pytest.mark.parametrize("replaced", [False, True])
async def test_an_older_snapshot_hides_nothing_newer(tmp_path: Path, server: FakeServer, replaced: bool) -> None:
    """A snapshot read anew leaves what is newer here in sight, until it comes again; not so where the server's
    contents were replaced, whose versions tell nothing."""
    tables = await loaded(tmp_path / "chen.db", server)
    row = tables.records.of_type("component")[0]
    fields = msgspec.Raw(row.fields)
    snapshot = Snapshot("old", "cursor", [SnapshotBlock(1, 1, "")])
    tables.records.put(row._replace(version=row.version + 100))
    start_over(tables, uuid.uuid4() if replaced else tables.meta.progressed.epoch)
    loading.begin(tables, STREET, snapshot, {})
    old = WireRecord(uuid.UUID(bytes=row.id), row.type, row.version, fields, row.owner)
    loading.take_block(tables, encode_block([old]))
    (here,) = [one for one in tables.records.of_type("component") if one.id == row.id]
    assert here.version - row.version == (0 if replaced else 100)
    tables.db.close()


async def test_indexes_are_there_when_loading_ends(tmp_path: Path, server: FakeServer) -> None:
    """However a load ends, and after a kill amid it when the store is opened, place and type are indexed."""
    road, path = Road(server), tmp_path / "li.db"

    road.accidents = [end]
    async with travelling(path, server, road) as device:
        with pytest.raises(Offline):
            await device.sync()
    after_break = indexes(path)
    async with travelling(path, server, road) as device:
        await device.sync()
    assert after_break == indexes(path) >= {"records_place", "records_type"}
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP INDEX records_place")
    async with opened(path, server):
        pass
    assert indexes(path) == after_break
