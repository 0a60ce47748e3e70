"""The storage contract (sync/storage.py), for feeds: every backend keeps each promise."""

import msgspec
import pytest

from sync.storage import FeedPosition, FeedRow, Store
from tests.contracts.samples import (
    STREET,
    a_batch,
    add_entries,
    an_id,
    put,
    read_feed,
)


async def test_feeds_within(store: Store) -> None:
    """The feeds that start with a scope and hold entries are listed, sorted, each once."""
    feeds = ["grid:440304010", STREET, "grid:440305001", "grid:4403", "person:li.na", "dept:a_b", "dept:aXb"]
    async with store.writing() as tx:
        for feed in feeds:
            await add_entries(tx, 3, feed)
    async with store.reading() as reader:
        assert await reader.feeds_within("grid:440304") == [STREET, "grid:440304010"]
        assert await reader.feeds_within(STREET) == [STREET]
        assert await reader.feeds_within("grid:4403") == ["grid:4403", STREET, "grid:440304010", "grid:440305001"]
        assert await reader.feeds_within("dept:a_") == ["dept:a_b"]
        assert await reader.feeds_within("case:") == []


async def test_feeds_sort_by_code_point(store: Store) -> None:
    """Feed keys sort and match by code point, not by the rules of a language."""
    feeds = ["dept:B", "dept:a", "dept:z-1", "dept:z1", "dept:Ä", "dept:街"]
    async with store.writing() as tx:
        for feed in feeds:
            await add_entries(tx, 1, feed)
    async with store.reading() as reader:
        assert await reader.feeds_within("dept:") == sorted(feeds)


async def test_emptied_feed_is_not_listed(store: Store) -> None:
    """A feed whose last entry was removed holds nothing."""
    async with store.writing() as tx:
        rows = await add_entries(tx, 2)
    await put(store, a_batch(feed_removed=rows))
    async with store.reading() as reader:
        assert await reader.feeds_within("grid:") == []


async def test_feed_in_pages(store: Store) -> None:
    """A feed is read in order of position, at most `limit` entries past a position."""
    async with store.writing() as tx:
        rows = await add_entries(tx, 5)
    async with store.writing() as tx:
        rows += await add_entries(tx, 2, first_record=6)
    async with store.reading() as reader:
        page = await reader.feed(STREET, FeedPosition(), 3)
        rest = await reader.feed(STREET, page[-1].position, 100)
        none = await reader.feed(STREET, rest[-1].position, 100)
    positions = [entry.position for entry in page + rest]
    assert [entry.record for entry in page + rest] == [an_id(number) for number in range(1, 8)]
    assert positions == sorted(positions) == [FeedPosition(row.tx, row.version) for row in rows]
    assert (len(page), none) == (3, [])


async def test_feed_holds(store: Store) -> None:
    """Whether a feed holds so many entries past a position is told exactly, and an empty feed holds none."""
    async with store.writing() as tx:
        rows = await add_entries(tx, 5)
        await add_entries(tx, 9, "grid:440304002")
    third = FeedPosition(rows[2].tx, rows[2].version)
    async with store.reading() as reader:
        from_start = [await reader.feed_holds(STREET, FeedPosition(), count) for count in (1, 5, 6)]
        from_third = [await reader.feed_holds(STREET, third, count) for count in (2, 3)]
        nothing = await reader.feed_holds("grid:440305", FeedPosition(), 1)
    assert (from_start, from_third, nothing) == ([True, True, False], [True, False], False)


async def test_feed_tells_what_is_gone(store: Store) -> None:
    """An entry tells whether its record was written or left the scope."""
    await put(
        store, a_batch(feed_added=[FeedRow(STREET, 0, 1, an_id(1), True), FeedRow(STREET, 0, 2, an_id(2), False)])
    )
    async with store.reading() as tx:
        entries = await tx.feed(STREET, FeedPosition(), 10)
    assert [(entry.record, entry.gone) for entry in entries] == [(an_id(1), True), (an_id(2), False)]


async def test_removed_entry(store: Store) -> None:
    """An entry that a newer one replaces is gone from its feed, and from no other feed."""
    async with store.writing() as tx:
        street = await add_entries(tx, 2)
        other = msgspec.structs.replace(street[0], feed="person:li.na")
        await tx.write(a_batch(feed_added=[other]))
    await put(store, a_batch(feed_removed=[street[0]]))
    assert await read_feed(store) == [an_id(2)]
    assert await read_feed(store, feed="person:li.na") == [an_id(1)]


async def test_removing_what_is_not_there(store: Store) -> None:
    """Removing an entry that does not exist is no error."""
    await put(store, a_batch(feed_removed=[FeedRow(STREET, 0, 1, an_id(1), False)]))
    assert await read_feed(store) == []


@pytest.mark.parametrize("feed", ["person:\x00", "dept:a b", "dept:%", "dept:街道"])
async def test_feed_of_any_name(store: Store, feed: str) -> None:
    """Whatever characters a scope holds, its feed is found and read."""
    async with store.writing() as tx:
        rows = await add_entries(tx, 2, feed)
    await put(store, a_batch(feed_removed=rows[:1]))
    assert await read_feed(store, feed=feed) == [an_id(2)]
    async with store.reading() as reader:
        assert len(await reader.feeds_within(feed)) == 1


async def test_feed_newest(store: Store) -> None:
    """The newest entry of a feed is the last written, and an empty feed has none."""
    async with store.writing() as tx:
        rows = await add_entries(tx, 3)
        await add_entries(tx, 2, "grid:440304002", first_record=8)
    async with store.reading() as reader:
        newest = await reader.feed_newest(STREET)
        none = await reader.feed_newest("grid:440305")
    assert (newest, none) == (FeedPosition(rows[-1].tx, rows[-1].version), FeedPosition())
