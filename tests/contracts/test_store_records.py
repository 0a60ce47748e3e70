"""The storage contract (sync/storage.py), for records and the log: every backend keeps each promise."""

import uuid

import msgspec
import pytest

from sync.messages import Outcome
from sync.storage import Store
from tests.contracts.samples import (
    a_batch,
    a_change,
    a_record,
    an_id,
    put,
)


async def test_record_survives_unchanged(store: Store) -> None:
    """Every field of a record comes back as written, empty owner and empty scopes included."""
    full = a_record(1, deleted=True, tx=7, version=2**52)
    bare = a_record(2, owner=None, scopes=(), district="")
    await put(store, a_batch([full, bare]))
    async with store.reading() as tx:
        assert await tx.records([full.id, bare.id]) == {full.id: full, bare.id: bare}


@pytest.mark.parametrize("scope", ["dept:a b", 'dept:"', "dept:a\nall:", "dept:a,b", "dept:\x00", "dept:街道"])
async def test_scopes_are_kept_apart(store: Store, scope: str) -> None:
    """No character within a scope makes two scopes of it."""
    record = a_record(1, scopes=(scope, "person:li.na"))
    await put(store, a_batch([record]))
    async with store.reading() as tx:
        assert (await tx.records([record.id]))[record.id].scopes == record.scopes


async def test_change_survives_unchanged(store: Store) -> None:
    """Every field of a logged change comes back as written, whether or not it may be empty."""
    bare = a_change(1)
    full = a_change(
        2,
        outcome=Outcome.REFUSED,
        code="value_invalid",
        detail="`text` 太长",
        attention=an_id(9),
        error_ms=12,
        deletes=True,
        before=msgspec.msgpack.encode({"text": "旧"}),
    )
    await put(store, a_batch(changes=[bare, full]))
    async with store.reading() as tx:
        assert await tx.changes([bare.id, full.id]) == {bare.id: bare, full.id: full}


async def test_text_of_a_device_is_logged_whatever_it_holds(store: Store) -> None:
    """A change whose type and detail hold a NUL character can be logged like any other."""
    change = a_change(1, type="a\x00b", detail="no such type a\x00b", outcome=Outcome.REFUSED, code="type_unknown")
    await put(store, a_batch(changes=[change]))
    async with store.reading() as tx:
        assert (await tx.changes([change.id]))[change.id].code == "type_unknown"


async def test_unknown_ids_are_left_out(store: Store) -> None:
    """Records and changes that do not exist are simply missing from the answer; asking for none is fine."""
    await put(store, a_batch([a_record(1)], [a_change(1)]))
    async with store.reading() as tx:
        assert list(await tx.records([an_id(1), an_id(2)])) == [an_id(1)]
        assert list(await tx.changes([a_change(1).id, an_id(2)])) == [a_change(1).id]
        assert await tx.records([]) == {}
        assert await tx.changes([]) == {}


async def test_many_records_at_once(store: Store) -> None:
    """A page of 10,000 records is read in one call."""
    records = [a_record(number) for number in range(10_000)]
    await put(store, a_batch(records))
    async with store.reading() as tx:
        found = await tx.records(record.id for record in records)
    assert found == {record.id: record for record in records}


async def test_record_is_replaced(store: Store) -> None:
    """A record written again stands as written last."""
    await put(store, a_batch([a_record(1)]))
    later = a_record(1, version=5, tx=9, scopes=(), owner="wang", fields=b"\x80", district="440305", deleted=True)
    await put(store, a_batch([later]))
    async with store.reading() as tx:
        assert await tx.records([later.id]) == {later.id: later}


async def test_a_record_knows_the_version_its_fields_are_in(store: Store) -> None:
    """The version of the type stays with a record, and changes when it is written again."""
    await put(store, a_batch([a_record(1, type_version=2), a_record(2)]))
    await put(store, a_batch([a_record(2, type_version=3)]))
    async with store.reading() as tx:
        found = await tx.records([an_id(1), an_id(2)])
    assert [found[an_id(number)].type_version for number in (1, 2)] == [2, 3]


async def test_new_and_old_records_in_one_batch(store: Store) -> None:
    """One batch creates some records and replaces others."""
    await put(store, a_batch([a_record(1)]))
    await put(store, a_batch([a_record(1, version=3), a_record(2, version=4)]))
    async with store.reading() as tx:
        found = await tx.records([an_id(1), an_id(2)])
    assert [found[an_id(number)].version for number in (1, 2)] == [3, 4]


async def test_record_written_twice_in_one_transaction(store: Store) -> None:
    """A record created in a transaction can be replaced in the same transaction."""
    async with store.writing() as tx:
        await tx.write(a_batch([a_record(1)]))
        await tx.write(a_batch([a_record(1, version=2)]))
    async with store.reading() as reader:
        assert (await reader.records([an_id(1)]))[an_id(1)].version == 2


async def test_history(store: Store) -> None:
    """The history of a record is all changes sent for it, refused ones too, by time of receipt."""
    late = a_change(1, received_ms=300)
    refused = a_change(2, record=an_id(1), received_ms=100, outcome=Outcome.REFUSED, version=0)
    await put(store, a_batch(changes=[late, a_change(3)]))
    await put(store, a_batch(changes=[refused]))
    async with store.reading() as tx:
        assert await tx.history(an_id(1)) == [refused, late]
        assert await tx.history(an_id(2)) == []


async def test_history_of_one_push(store: Store) -> None:
    """What a device sent at once comes in the device's order, refused changes in their places."""
    sent = [
        a_change(1, received_ms=100),
        a_change(2, record=an_id(1), received_ms=100, outcome=Outcome.REFUSED, version=0),
        a_change(3, record=an_id(1), received_ms=100),
    ]
    await put(store, a_batch(changes=sent))
    async with store.reading() as tx:
        assert await tx.history(an_id(1)) == sent


async def test_scan(store: Store) -> None:
    """A scan gives all living records of one type by id, in pages of the size asked for."""
    records = [a_record(number) for number in range(7)]
    others = [a_record(7, deleted=True), a_record(8, type="note")]
    await put(store, a_batch([*reversed(records), *others]))
    async with store.reading() as tx:
        pages = [page async for page in tx.scan("finding", 3)]
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [record for page in pages for record in page] == records


@pytest.mark.parametrize("count", [0, 3])
async def test_scan_ends_at_a_full_page(store: Store, count: int) -> None:
    """A scan never gives an empty page."""
    await put(store, a_batch([a_record(number) for number in range(count)]))
    async with store.reading() as tx:
        assert [len(page) async for page in tx.scan("finding", 3)] == [3] * (count // 3)


async def test_scan_meets_every_id(store: Store) -> None:
    """The smallest and the largest of all ids are scanned like any other."""
    ends = [a_record(1, id=uuid.UUID(int=0)), a_record(2, id=uuid.UUID(int=2**128 - 1))]
    await put(store, a_batch(ends))
    async with store.reading() as tx:
        assert [record async for page in tx.scan("finding", 1) for record in page] == ends
