"""Snapshots in the sync core: what they hold, whom they are for, and what becomes of damaged blocks."""

import uuid
from typing import Any

import msgspec
import pytest

from field_schemas.access import Role
from sync.authority import SERVER, Actor
from sync.errors import ContentsSetBack, SyncError
from sync.memory import MemorySnapshots, MemoryTransaction
from sync.messages import PullRequest, PullResponse, Snapshot, SnapshotRequest, WireRecord
from sync.pull import PAGE_BYTES, pull
from sync.snapshot import BlockDamaged, decode_block, encode_block
from sync.storage import FeedPosition
from tests.unit.builders import GRID, REGISTRY, Office, actor, component, inspector, new_id, supervisor

SCOPE = "grid:440304001"
FROM = 3


@pytest.fixture
def office() -> Office:
    return Office()


async def fill(office: Office, count: int = 4) -> list[uuid.UUID]:
    """Components of the street."""
    made = [new_id() for _ in range(count)]
    for record in made:
        await office.write(supervisor(), "component", record, component())
    return made


async def page_of(office: Office, reader: Actor, cursor: str | None = None, *loaded: str) -> PullResponse:
    """A page for a reader who takes snapshots of areas with FROM entries."""
    asked = PullRequest(cursor, snapshots=True, loaded=list(loaded))
    async with office.store.reading() as tx:
        return await pull(tx, REGISTRY, reader, asked, office.now, FROM)


async def snapshot_of(
    office: Office, reader: Actor, snapshots: MemorySnapshots | None = None
) -> tuple[Snapshot, list[WireRecord]]:
    """The reader's snapshot of the street, with what it holds."""
    kept = snapshots or MemorySnapshots(REGISTRY, block_records=3)
    async with office.store.reading() as tx:
        answer = await kept.ask(tx, reader, SnapshotRequest(SCOPE), office.now, FROM)
        assert answer.snapshot is not None
        content = await kept.content(tx, reader, answer.snapshot.id, office.now)
    return answer.snapshot, list(records_in(answer.snapshot, content))


def records_in(snapshot: Snapshot, content: bytes) -> list[WireRecord]:
    """What the blocks hold."""
    found: list[WireRecord] = []
    start = 0
    for block in snapshot.blocks:
        for group in decode_block(content[start : start + block.bytes]):
            found.extend(group.records())
        start += block.bytes
    return found


def plain(record: WireRecord) -> tuple[uuid.UUID, int, object]:
    """A record to be compared."""
    return record.id, record.version, msgspec.msgpack.decode(record.fields)


async def test_it_holds_what_pages_hold(office: Office) -> None:
    """A snapshot holds the same records in the same words as the pages of its area."""
    await fill(office, 7)
    reader = inspector("li")
    _, records = await snapshot_of(office, reader)
    page = await office.read(reader)
    assert sorted(map(plain, records)) == sorted(map(plain, page.records))


async def test_deltas_follow(office: Office) -> None:
    """After a snapshot the pull brings what was written since, and nothing else."""
    await fill(office)
    reader = inspector("li")
    first = await page_of(office, reader)
    assert (first.offers, first.records, first.more) == ([SCOPE], [], True)
    snapshot, _ = await snapshot_of(office, reader)
    (late,) = await fill(office, 1)
    page = await page_of(office, reader, first.cursor, snapshot.cursor)
    assert ([one.id for one in page.records], page.offers, page.more) == ([late], [], False)


async def test_what_people_wait_for_stands_apart(office: Office) -> None:
    """Refusals are not amid the reference data, and only those who may read them are told of them."""
    made = await fill(office)
    verdict = await office.write(inspector("li"), "component", made[0], {"responsible": "水务"}, base=1)
    theirs, records = await snapshot_of(office, supervisor(scope=SCOPE))
    ours, _ = await snapshot_of(office, inspector("wang"))
    assert (theirs.apart, ours.apart) == ([verdict.attention], [])
    assert {one.id for one in records} == set(made)


async def test_ids_of_what_may_not_be_read_are_not_told(office: Office) -> None:
    """Of a refusal that lies in another street too, those who may not read refusals do not learn the id."""
    made = await fill(office)
    verdict = await office.write(inspector("li"), "component", made[0], {"responsible": "水务"}, base=1)
    assert verdict.attention is not None
    refusal = office.store.state.records[verdict.attention]
    both = msgspec.structs.replace(refusal, scopes=(SCOPE, "grid:440304002"))
    records = {**office.store.state.records, refusal.id: both}
    office.store.state = msgspec.structs.replace(office.store.state, records=records)
    theirs, _ = await snapshot_of(office, supervisor(scope=SCOPE))
    ours, _ = await snapshot_of(office, inspector("wang"))
    assert (theirs.apart, ours.apart) == ([refusal.id], [])


async def test_deleted_records_are_left_out(office: Office) -> None:
    """What is deleted when the snapshot is made is not in it."""
    made = await fill(office)
    await office.write(supervisor(), "component", made[0], {}, base=1, delete=True)
    _, records = await snapshot_of(office, inspector("li"))
    assert {one.id for one in records} == set(made[1:])


async def test_deletions_follow_though_they_came_with_own_things(office: Office) -> None:
    """What was deleted since the snapshot was made is told behind it, also of own things, which came before it: the
    device has dropped these, and the snapshot brings them back."""
    await fill(office)
    li, note = inspector("li"), new_id()
    made = await office.write(li, "note", note, {"grid": GRID, "text": "x"})
    snapshot, records = await snapshot_of(office, li)
    await office.write(li, "note", note, {}, base=made.version, delete=True)
    first = await page_of(office, li)
    page = await page_of(office, li, first.cursor, snapshot.cursor)
    assert note in {one.id for one in records}
    assert [(one.id, one.deleted) for one in page.records] == [(note, True)]


async def strayed(office: Office, reader: Actor) -> tuple[uuid.UUID, PullResponse]:
    """A task that is not the reader's any more and therefore comes as it is, though nothing was read of the large
    street in which it lies; with the page that brings it."""
    await fill(office)
    office.store.grants |= {"li": reader.grants, "wang": inspector("wang").grants}
    task = new_id()
    made = await office.write(supervisor(), "patrol_task", task, {"grid": GRID, "subject": "x", "assignee": "li"})
    await office.write(supervisor(), "patrol_task", task, {"assignee": "wang"}, base=made.version)
    page = await page_of(office, reader)
    assert ({one.id for one in page.records}, page.offers) == ({task}, [SCOPE])
    return task, page


def version_of(office: Office, record: uuid.UUID) -> int:
    """The version a record stands at."""
    return office.store.state.records[record].version


@pytest.mark.parametrize("left", [{"fields": {"grid": "440304002001001"}}, {"fields": {}, "delete": True}])
async def test_what_came_before_a_snapshot_and_left_before_it_was_made(office: Office, left: dict[str, Any]) -> None:
    """What another view brought of an area goes also when it left the area before the snapshot of it was made."""
    li = inspector("li")
    task, first = await strayed(office, li)
    await office.write(SERVER, "patrol_task", task, base=version_of(office, task), **left)
    snapshot, records = await snapshot_of(office, li)
    page = await page_of(office, li, first.cursor, snapshot.cursor)
    assert task in {*page.forget, *(one.id for one in page.records if one.deleted)}
    assert task not in {one.id for one in records}
    assert (page.offers, page.more) == ([], False)


async def test_what_came_before_a_snapshot_by_roles_that_are_gone(office: Office) -> None:
    """Who has lost the role by which another view brought something of a large area is told to forget it."""
    device = new_id()
    both = actor("li", (SCOPE, Role.INSPECTOR), (SCOPE, Role.RESPONDER), device=device)
    task, first = await strayed(office, both)
    page = await page_of(office, actor("li", (SCOPE, Role.RESPONDER), device=device), first.cursor)
    assert (task in page.forget, page.offers) == (True, [])


async def test_traces_of_what_came_before_a_snapshot_are_gone(office: Office) -> None:
    """Reading begins anew where it is not known any more what became of what other views brought of an area."""
    li = inspector("li")
    task, first = await strayed(office, li)
    await office.write(SERVER, "patrol_task", task, {}, base=version_of(office, task), delete=True)
    # The device hears of all else; the area's snapshot is still to come.
    second = await page_of(office, li, first.cursor)
    async with office.store.writing() as tx:
        await tx.purge(await tx.horizon())
    with pytest.raises(SyncError) as refused:
        await page_of(office, li, second.cursor)
    assert refused.value.code == "cursor_expired"


async def test_other_roles_are_refused(office: Office) -> None:
    """A snapshot made for one role is not given to another."""
    await fill(office)
    kept = MemorySnapshots(REGISTRY, block_records=3)
    snapshot, _ = await snapshot_of(office, supervisor(scope=SCOPE), kept)
    async with office.store.reading() as tx:
        with pytest.raises(SyncError) as refused:
            await kept.content(tx, inspector("li"), snapshot.id, office.now)
        assert refused.value.code == "scope_denied"


@pytest.mark.parametrize("scope", ["grid:440304002", "grid:4403040010", "person:li", "all:"])
async def test_no_snapshot_of_other_scopes(office: Office, scope: str) -> None:
    """Of what is no area of the reader's there is no snapshot."""
    await fill(office)
    kept = MemorySnapshots(REGISTRY, block_records=3)
    async with office.store.reading() as tx:
        with pytest.raises(SyncError) as refused:
            await kept.ask(tx, inspector("li"), SnapshotRequest(scope), office.now, FROM)
        assert refused.value.code == "scope_denied"


async def test_no_snapshot_of_a_small_area(office: Office) -> None:
    """An area that is too small to be offered cannot be asked for either."""
    await fill(office, FROM - 1)
    async with office.store.reading() as tx:
        with pytest.raises(SyncError) as refused:
            await MemorySnapshots(REGISTRY, 3).ask(tx, inspector("li"), SnapshotRequest(SCOPE), office.now, FROM)
        assert refused.value.code == "scope_denied"


async def test_more_roles_in_a_part_read_pages(office: Office) -> None:
    """A reader who has another role in a part of the area gets pages."""
    made = await fill(office)
    reader = actor("li", (SCOPE, Role.INSPECTOR), ("grid:440304001001", Role.SUPERVISOR))
    page = await page_of(office, reader)
    assert (page.offers, {one.id for one in page.records}) == ([], set(made))


async def test_a_lost_department_reads_pages(office: Office) -> None:
    """Whoever has lost a scope that may have brought records of the area gets pages, which can say what to forget."""
    await fill(office)
    before = await page_of(office, actor("li", ("dept:d1", Role.RESPONDER)))
    page = await page_of(office, inspector("li"), before.cursor)
    assert page.offers == []
    assert len(page.records) == 4


async def test_a_snapshot_loaded_by_other_roles_is_read_again(office: Office) -> None:
    """A snapshot whose reader has other roles by now does not count: the area is read from its beginning."""
    made = await fill(office)
    device = new_id()
    before = actor("li", (SCOPE, Role.SUPERVISOR), device=device)
    first = await page_of(office, before)
    snapshot, _ = await snapshot_of(office, before)
    page = await page_of(office, actor("li", (SCOPE, Role.INSPECTOR), device=device), first.cursor, snapshot.cursor)
    assert {one.id for one in page.records} == set(made)


async def test_older_than_the_traces(office: Office) -> None:
    """A snapshot made before traces of deleted records were dropped is refused, and a new one is made."""
    made = await fill(office)
    reader = inspector("li")
    kept = MemorySnapshots(REGISTRY, block_records=3)
    first = await page_of(office, reader)
    old, _ = await snapshot_of(office, reader, kept)
    await office.write(supervisor(), "component", made[0], {}, base=1, delete=True)
    async with office.store.writing() as tx:
        await tx.purge(await tx.horizon())
    with pytest.raises(SyncError) as refused:
        await page_of(office, reader, first.cursor, old.cursor)
    assert refused.value.code == "cursor_expired"
    _, records = await snapshot_of(office, reader, kept)
    assert {one.id for one in records} == set(made[1:])


async def test_of_contents_that_were_set_back(office: Office) -> None:
    """A snapshot that goes further than the contents, which somebody set back, is not given any more."""
    made = await fill(office)
    reader, before, versions = inspector("li"), office.store.state, office.store.last_version
    kept = MemorySnapshots(REGISTRY, block_records=3)
    await fill(office, 1)
    ahead, _ = await snapshot_of(office, reader, kept)
    office.store.state, office.store.last_version = before, versions
    with pytest.raises(ContentsSetBack):
        await page_of(office, reader, None, ahead.cursor)
    _, records = await snapshot_of(office, reader, kept)
    assert {one.id for one in records} == set(made)


async def test_large_records_end_a_page(office: Office) -> None:
    """A page of large records ends early, and those that follow come with the next."""
    remark = "大" * 2_000
    made = {new_id() for _ in range(PAGE_BYTES // 6_000 + 2)}
    for record in made:
        await office.write(supervisor(), "component", record, component(remark=remark))
    first = await office.read(inspector("li"))
    rest = await office.read(inspector("li"), first.cursor)
    assert first.more
    assert {one.id for one in first.records} | {one.id for one in rest.records} == made


@pytest.mark.parametrize("fields", [{}, {"a": 1}, {f"f{number}": number for number in range(20)}])
def test_a_block_gives_back_what_it_was_given(fields: dict[str, int]) -> None:
    """Records of any number of fields come out of a block as they went in."""
    record = WireRecord(new_id(), "sample", 5, msgspec.Raw(msgspec.msgpack.encode(fields)), "li")
    (group,) = decode_block(encode_block([record, record]))
    assert list(group.records()) == [record, record]


@pytest.mark.parametrize("length", [0, 3, 20])
def test_a_damaged_block(length: int) -> None:
    """Bytes that are no block are refused."""
    block = encode_block([WireRecord(new_id(), "sample", 5)])
    with pytest.raises(BlockDamaged):
        decode_block(block[:length] + b"\x00" * 10)


async def test_the_size_of_an_area_is_asked_last(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether unread areas are large is asked with the page that sends all else, and with none before it."""
    sizes: list[str] = []
    told = MemoryTransaction.feed_holds

    async def noted(tx: MemoryTransaction, key: str, after: FeedPosition, count: int) -> bool:
        sizes.append(key)
        return await told(tx, key, after, count)

    monkeypatch.setattr(MemoryTransaction, "feed_holds", noted)
    await fill(office)
    reader = inspector("li")
    for _ in range(2):
        await office.write(reader, "finding", new_id(), {"text": "自己的"})
    asked, seen = PullRequest(snapshots=True, limit=1), list[tuple[list[str], int]]()
    for _ in range(3):
        async with office.store.reading() as tx:
            page = await pull(tx, REGISTRY, reader, asked, office.now, FROM)
        seen.append((page.offers, len(sizes)))
        asked = PullRequest(page.cursor, snapshots=True, limit=1)
    assert seen == [([], 0), ([], 0), ([SCOPE], 1)]
