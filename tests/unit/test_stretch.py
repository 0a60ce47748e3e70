"""Stretches: what is kept of a feed for many readers shows each of them what reading it anew would."""

import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from field_schemas.access import Role
from sync.authority import Actor
from sync.memory import MemoryTransaction
from sync.messages import PullRequest, PullResponse
from sync.pull import pull
from sync.storage import FeedPosition
from sync.stretch import Stretches
from sync.visible import Lens
from tests.unit.builders import GRID, REGISTRY, STREET, Office, actor, component, inspector, new_id, supervisor

FEED = f"grid:{STREET}"
ROOT = supervisor()
PLACES = (GRID, STREET + "002001", "440304002001001", "440304003001001")
READERS = (
    inspector("li"),
    inspector("wu", f"grid:{GRID}"),
    actor("sup", ("grid:440304", Role.SUPERVISOR)),
    actor("zhao", (f"grid:{STREET}", Role.OFFICER), ("grid:440304002", Role.INSPECTOR)),
)


async def page(office: Office, reader: Actor, kept: Stretches, asked: PullRequest) -> PullResponse:
    async with office.store.reading() as tx:
        return await pull(tx, REGISTRY, reader, asked, office.now, stretches=kept)


async def all_pages(office: Office, reader: Actor, kept: Stretches, limit: int = 1_000) -> list[PullResponse]:
    pages = [await page(office, reader, kept, PullRequest(limit=limit))]
    while pages[-1].more:
        pages.append(await page(office, reader, kept, PullRequest(pages[-1].cursor, limit)))
    return pages


async def stand(office: Office, count: int) -> list[uuid.UUID]:
    """So many components in the street."""
    keys = [new_id() for _ in range(count)]
    for key in keys:
        await office.write(ROOT, "component", key, component())
    return keys


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many records each question to the store was for."""
    asked: list[int] = []
    told = MemoryTransaction.records

    async def noted(self: MemoryTransaction, ids: list[uuid.UUID]) -> object:
        asked.append(len(ids))
        return await told(self, ids)

    monkeypatch.setattr(MemoryTransaction, "records", noted)
    return asked


async def test_the_second_reader_asks_for_no_record(reads: list[int]) -> None:
    """What one reader was given is not read again for the next, whatever their roles."""
    office, kept = Office(), Stretches(length=3)
    await stand(office, 8)
    await all_pages(office, inspector("li"), kept)
    reads.clear()
    pages = await all_pages(office, actor("zhao", (f"grid:{STREET}", Role.OFFICER)), kept)
    assert (sum(len(one.records) for one in pages), sum(reads)) == (8, 0)


async def test_what_is_written_is_read(reads: list[int]) -> None:
    """A write to the feed ends what was kept of it."""
    office, kept, li = Office(), Stretches(length=3), inspector("li")
    keys = await stand(office, 7)
    await all_pages(office, li, kept)
    await office.write(ROOT, "component", keys[0], {"address": "香梅路"}, base=1)
    reads.clear()
    (after,) = await all_pages(office, li, kept)
    assert (len(after.records), sum(reads)) == (7, 7)
    (changed,) = [record for record in after.records if record.id == keys[0]]
    assert msgspec.msgpack.decode(changed.fields)["address"] == "香梅路"


async def test_what_is_written_elsewhere_does_not_matter(reads: list[int]) -> None:
    """A write to another street leaves what was kept as it is."""
    office, kept, li = Office(), Stretches(length=3), inspector("li")
    await stand(office, 7)
    await all_pages(office, li, kept)
    await office.write(ROOT, "component", new_id(), component(grid=PLACES[2]))
    reads.clear()
    await all_pages(office, li, kept)
    assert sum(reads) == 0


async def test_who_has_moved_out_is_not_shown_from_memory() -> None:
    """A record that left the street after it was kept is not given to who comes later."""
    office, kept = Office(), Stretches(length=2)
    keys = await stand(office, 4)
    await all_pages(office, inspector("li"), kept)
    await office.write(ROOT, "component", keys[1], {"grid": PLACES[2]}, base=2)
    pages = await all_pages(office, inspector("wu"), kept)
    assert keys[1] not in {record.id for one in pages for record in one.records}


async def test_memory_is_bounded() -> None:
    """However much is read, no more than so many bytes are kept."""
    office, kept, li = Office(), Stretches(length=2, kept_bytes=5_000), inspector("li")
    await stand(office, 40)
    pages = await all_pages(office, li, kept, limit=10)
    assert sum(len(one.records) for one in pages) == 40
    assert 0 < kept.size <= 5_000


async def test_pages_hold_no_more_than_was_asked_for() -> None:
    """A page is bounded by its limit, kept or not, and pages together hold everything once."""
    office, kept, li = Office(), Stretches(length=3), inspector("li")
    keys = await stand(office, 11)
    for limit in (1, 2, 4, 7, 7, 4, 2, 1):
        pages = await all_pages(office, li, kept, limit)
        assert max(len(one.records) for one in pages) <= limit
        assert sorted(record.id for one in pages for record in one.records) == sorted(keys)


async def test_a_feed_that_is_not_settled_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """While an entry waits for earlier ones to be settled, nothing of its feed is kept."""
    office, kept, li = Office(), Stretches(length=2), inspector("li")
    await stand(office, 4)

    async def earlier(_: MemoryTransaction) -> FeedPosition:
        return FeedPosition(0, 1)

    monkeypatch.setattr(MemoryTransaction, "horizon", earlier)
    await all_pages(office, li, kept)
    assert kept.size == 0


async def test_who_has_left_is_read_anew() -> None:
    """What happens to a record after it has left a street is shown to readers of both, though nothing more is written
    to the street that it left."""
    office, kept = Office(), Stretches(length=2)
    keys = await stand(office, 4)
    await office.write(ROOT, "component", keys[0], {"grid": PLACES[2]}, base=4)
    await all_pages(office, READERS[2], kept)
    await office.write(ROOT, "component", keys[0], {"condition": "damaged"}, base=5)
    pages = await all_pages(office, READERS[2], kept)
    (shown,) = {record.version for one in pages for record in one.records if record.id == keys[0]}
    async with office.store.reading() as tx:
        assert shown == (await tx.records(keys))[keys[0]].version


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 5), st.sampled_from(PLACES)),
        st.tuples(st.just("delete"), st.integers(0, 5), st.none()),
        st.tuples(st.just("read"), st.integers(0, 3), st.integers(1, 8)),
    ),
    min_size=5,
    max_size=40,
)


class _Copy:
    """What a reader holds who goes by the pages alone; `kept` is None where the server keeps nothing."""

    def __init__(self, reader: Actor, kept: Stretches | None) -> None:
        self.reader = reader
        self.kept = kept
        self.cursor: str | None = None
        self.held: dict[uuid.UUID, tuple[int, bytes]] = {}

    async def pull(self, office: Office, limit: int) -> None:
        more = True
        while more:
            got = await page(office, self.reader, self.kept or Stretches(length=2), PullRequest(self.cursor, limit))
            for record in got.records:
                self.held[record.id] = record.version, bytes(record.fields)
            for gone in got.forget:
                self.held.pop(gone, None)
            self.cursor, more = got.cursor, got.more


@given(STEPS)
async def test_kept_or_read_anew_is_the_same(steps: list[tuple[str, int, object]]) -> None:
    """Whatever is written, moved and deleted in between, readers hold what they would by a server that keeps
    nothing."""
    office, kept = Office(), Stretches(length=2)
    keys = [new_id() for _ in range(6)]
    versions: dict[uuid.UUID, int] = {}
    copies = [(_Copy(reader, kept), _Copy(reader, None)) for reader in READERS]
    for what, which, more in steps:
        if what == "read":
            from_memory, anew = copies[which]
            await from_memory.pull(office, int(str(more)))
            await anew.pull(office, int(str(more)))
            assert from_memory.held == anew.held
            continue
        key = keys[which]
        if what == "delete":
            verdict = await office.write(ROOT, "component", key, {}, base=versions.get(key, 0), delete=True)
        else:
            fields = {"grid": more} if key in versions else component(grid=more)
            verdict = await office.write(ROOT, "component", key, fields, base=versions.get(key, 0))
        if verdict.version:
            versions[key] = verdict.version


async def test_roles_see_their_own_fields_of_what_is_kept() -> None:
    """What one role was shown is not shown to another that may read less."""
    office, kept = Office(), Stretches(length=2)
    lens = [Lens(REGISTRY.get("component"), readable, None) for readable in (None, frozenset[str]())]
    await stand(office, 2)
    async with office.store.reading() as tx:
        (stretch,) = await kept.read(tx, FEED, FeedPosition(), 2)
    (kind,) = stretch.kinds
    whole, masked = (next(iter(kind.shown(one).values())).fields for one in lens)
    assert bytes(whole) == kind.records[0].fields
    assert bytes(next(iter(kind.shown(lens[0]).values())).fields) == kind.records[0].fields
    assert bytes(masked) == lens[1].masked(kind.records[0].fields)


async def test_what_a_feed_holds_of_a_type_is_asked_once(reads: list[int]) -> None:
    """As long as nothing is written to a feed, what it holds of a type is not read again."""
    office, kept, types = Office(), Stretches(), frozenset({"component"})
    keys = await stand(office, 3)
    found = []
    for write in (False, True, False):
        if write:
            await office.write(ROOT, "component", keys[0], {}, base=1, delete=True)
        reads.clear()
        async with office.store.reading() as tx:
            first, second = [await kept.of_types(tx, FEED, types) for _ in range(2)]
        assert first == second
        found.append((len(first), sum(reads)))
    assert found == [(3, 3), (2, 2), (2, 0)]
