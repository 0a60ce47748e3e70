"""The server's snapshots: which are made, which is given, and what becomes of failures."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from field_schemas.registry import Registry
from field_schemas.types.finding import Finding
from server.snapshots.files import SnapshotFiles
from server.snapshots.library import Snapshots
from sync.errors import SyncError
from sync.messages import Snapshot, SnapshotRequest
from tests.unit.builders import REGISTRY, Office, inspector
from tests.unit.test_snapshot import FROM, SCOPE, fill

TYPES = {spec.name: spec.version for spec in REGISTRY}
READER = inspector("li")


@pytest.fixture
async def office() -> Office:
    """An office whose street comes as a snapshot."""
    office = Office()
    await fill(office)
    return office


@pytest.fixture
async def library(office: Office, tmp_path: Path) -> AsyncIterator[Snapshots]:
    """The office's snapshots, in `tmp_path`."""
    library = Snapshots(office.store, REGISTRY, SnapshotFiles(tmp_path), lambda: office.now, FROM)
    yield library
    await library.stop()


async def asked(library: Snapshots, types: dict[str, int] | None = None) -> Snapshot | None:
    """What the reader of the street is given who knows these types."""
    give = await library.ask(READER, SnapshotRequest(SCOPE, types))
    return (await give()).snapshot


def block_locks(folder: Path) -> None:
    """Let nothing be made in a folder that was made there before."""
    for lock in folder.glob("*.lock"):
        lock.unlink()
        lock.mkdir()


async def newer_than(library: Snapshots, old: Snapshot | None) -> Snapshot:
    """What is given once another snapshot than `old` is there."""
    async with asyncio.timeout(20):
        while True:
            new = await asked(library)
            if new is not None and new != old:
                return new
            await asyncio.sleep(0)


def contents(folder: Path) -> int:
    """How many snapshots lie in a folder."""
    return len(list(folder.glob("*.zst")))


async def refusal(library: Snapshots, types: dict[str, int] | None = None) -> str:
    """The code with which the reader is refused."""
    with pytest.raises(SyncError) as refused:
        await asked(library, types)
    return refused.value.code


async def test_not_of_a_small_area(office: Office, tmp_path: Path) -> None:
    """What no pull offers is not made for those who ask for it all the same."""
    library = Snapshots(office.store, REGISTRY, SnapshotFiles(tmp_path), lambda: office.now, 5)
    assert await refusal(library) == "scope_denied"
    assert contents(tmp_path) == 0


async def test_names_the_contents(office: Office, library: Snapshots) -> None:
    """A snapshot says of which contents it is, as a page does."""
    snapshot = await asked(library)
    assert snapshot is not None
    assert snapshot.epoch == (await office.read(READER)).epoch


async def test_few_kinds_of_old_programs(library: Snapshots, tmp_path: Path) -> None:
    """Of one area there are snapshots for eight sets of types that a device may name, and for the program's own."""
    for name in sorted(TYPES)[:8]:
        assert await asked(library, {name: 1})
    assert await refusal(library, {}) == "scope_denied"
    assert await asked(library, {sorted(TYPES)[0]: 1})
    assert await asked(library)
    assert contents(tmp_path) == 9


async def test_what_another_process_made_is_given(office: Office, library: Snapshots, tmp_path: Path) -> None:
    """A snapshot that another process has made is found, though the folder was read before."""
    other = Snapshots(office.store, REGISTRY, SnapshotFiles(tmp_path), lambda: office.now, FROM)
    with pytest.raises(SyncError):
        await library.find(READER, "0" * 32 + "-" + "0" * 16)
    made = await asked(other)
    assert made is not None
    assert (await library.find(READER, made.id)).id == made.id


async def test_the_newest_goes_furthest(office: Office, library: Snapshots) -> None:
    """A snapshot made after the clock was set back is the newest all the same."""
    assert await asked(library)
    await fill(office, 1_000)
    office.now -= 3_600_000
    old = await asked(library)
    new = await newer_than(library, old)
    assert old is not None
    assert sum(block.records for block in new.blocks) == 1_004 > sum(block.records for block in old.blocks)


async def test_what_cannot_be_made_is_not_tried_at_once(office: Office, tmp_path: Path) -> None:
    """Where snapshots cannot be written, who asks again goes by pages, and nothing is tried again for a while."""
    folder = tmp_path / "snapshots"
    folder.write_bytes(b"no folder")
    library = Snapshots(office.store, REGISTRY, SnapshotFiles(folder), lambda: office.now, FROM)
    assert await asked(library) is None
    assert await refusal(library) == "not_found"
    folder.unlink()
    assert await refusal(library) == "not_found"


async def test_what_cannot_be_renewed_is_given(office: Office, library: Snapshots, tmp_path: Path) -> None:
    """Where a snapshot cannot be made anew, the one that is there is still given."""
    old = await asked(library)
    block_locks(tmp_path)
    await fill(office, 1_000)
    assert old is not None
    given = [await asked(library) for _ in range(3)]
    assert [one and one.id for one in given] == [old.id] * 3


async def test_of_no_use_once_a_field_is_limited(office: Office, library: Snapshots, tmp_path: Path) -> None:
    """A snapshot made when its readers could read more is not given by its id any more."""
    made = await asked(library)
    assert made is not None
    narrower = Registry([Finding])
    later = Snapshots(office.store, narrower, SnapshotFiles(tmp_path), lambda: office.now, FROM)
    with pytest.raises(SyncError) as refused:
        await later.find(READER, made.id)
    assert refused.value.code == "not_found"


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    """A draft and a content of which nothing is said go, unless they are being made."""
    files = SnapshotFiles(tmp_path)
    ours, theirs = "a" * 32, "b" * 32
    for name in (f"{ours}.part", f"{ours}-{'c' * 16}.zst", f"{theirs}.part"):
        (tmp_path / name).write_bytes(b"half")
    with files.alone(theirs):
        files.drop_unused(0, 1, 1)
    assert {path.name for path in tmp_path.iterdir() if path.suffix != ".lock"} == {f"{theirs}.part"}
