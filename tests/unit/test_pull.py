"""Pull gives each reader exactly what lies in the reader's scopes."""

import uuid

import msgspec
import pytest

from field_schemas.access import Grant, Role
from sync.authority import Actor
from sync.errors import SyncError
from sync.messages import PullResponse
from tests.unit.builders import GRID, NOW, STREET, Office, actor, component, inspector, new_id, supervisor


@pytest.fixture
def office() -> Office:
    return Office()


def ids(page: PullResponse) -> set[uuid.UUID]:
    return {record.id for record in page.records}


async def put(office: Office, **fields: object) -> tuple[uuid.UUID, int]:
    record = new_id()
    verdict = await office.write(supervisor(), "component", record, component(**fields))
    return record, verdict.version


async def test_only_own_area(office: Office) -> None:
    """A reader receives the records of the granted street and no others."""
    here, _ = await put(office)
    await put(office, grid="440304002001001")
    assert ids(await office.read(inspector("li"))) == {here}


async def test_narrow_grant(office: Office) -> None:
    """A grant on a community gives its records only, although the feed is the street's."""
    here, _ = await put(office, grid="440304001001001")
    await put(office, grid="440304001002001")
    assert ids(await office.read(inspector("li", "grid:440304001001"))) == {here}


async def test_delta(office: Office) -> None:
    """With a cursor only what changed since is sent."""
    first, _ = await put(office)
    page = await office.read(inspector("li"))
    second, _ = await put(office)
    assert ids(await office.read(inspector("li"), page.cursor)) == {second}
    assert first in ids(page)


async def test_pages(office: Office) -> None:
    """Pages of any size together give every record once."""
    made = {(await put(office))[0] for _ in range(7)}
    li = inspector("li")
    page = await office.read(li, limit=3)
    got = [record.id for record in page.records]
    while page.more:
        page = await office.read(li, page.cursor, limit=3)
        got += [record.id for record in page.records]
    assert sorted(got) == sorted(made)


async def test_own_things_first(office: Office) -> None:
    """A task of one's own comes before the area's components."""
    await put(office)
    await put(office)
    li, task = inspector("li"), new_id()
    await office.submit(li)
    await office.write(supervisor(), "patrol_task", task, {"subject": "x", "grid": GRID, "assignee": "li"})
    page = await office.read(li, limit=1)
    assert ids(page) == {task}


async def all_pages(office: Office, reader: Actor, limit: int) -> list[PullResponse]:
    pages = [await office.read(reader, limit=limit)]
    while pages[-1].more:
        pages.append(await office.read(reader, pages[-1].cursor, limit=limit))
    return pages


async def test_conflicts_and_refusals_come_before_the_rest_of_an_area(office: Office) -> None:
    """Where an area takes several pages, what waits for people comes with the first, though it is newest."""
    for _ in range(9):
        await put(office)
    record, seen = await put(office)
    wang = inspector("wang")
    await office.write(inspector("li"), "component", record, {"condition": "worn"}, base=seen)
    conflict = (await office.write(wang, "component", record, {"condition": "damaged"}, base=seen)).attention
    refusal = (await office.write(wang, "component", record, {"responsible": "x"}, base=seen)).attention
    pages = await all_pages(office, supervisor(), 3)
    assert len(pages) > 2
    assert {conflict, refusal} <= ids(pages[0])


async def test_own_things_come_once(office: Office) -> None:
    """What lies in the reader's area too is not sent again with the area's later pages, but when it has changed."""
    li = inspector("li")
    await office.submit(li)
    for _ in range(5):
        await put(office)
    task = new_id()
    made = await office.write(supervisor(), "patrol_task", task, {"subject": "x", "grid": GRID, "assignee": "li"})
    pages = await all_pages(office, li, 2)
    assert [task in ids(page) for page in pages] == [True, *[False] * (len(pages) - 1)]
    await office.write(supervisor(), "patrol_task", task, {"subject": "y"}, base=made.version)
    assert ids(await office.read(li, pages[-1].cursor)) == {task}


async def test_own_things_are_sent_again_where_a_new_grant_shows_more(office: Office) -> None:
    """Whoever gets another role over the area of an own thing receives it as that role sees it."""
    before, after = inspector("li", "grid:440304009"), None
    finding = new_id()
    made = {"grid": GRID, "kind": "0102", "text": "x"}
    await office.write(inspector("li"), "finding", finding, made)
    page = await office.read(before)
    assert finding in ids(page)
    after = actor("li", ("grid:440304009", Role.INSPECTOR), (f"grid:{STREET}", Role.SUPERVISOR), device=before.device)
    assert finding in ids(await office.read(after, page.cursor))


async def test_moved_out(office: Office) -> None:
    """A record that moves to another street is forgotten where it was and arrives whole where it goes."""
    record, version = await put(office)
    li, wang = inspector("li"), inspector("wang", "grid:440304002")
    seen_li, seen_wang = await office.read(li), await office.read(wang)
    await office.write(supervisor(), "component", record, {"grid": "440304002001001"}, base=version)
    gone, come = await office.read(li, seen_li.cursor), await office.read(wang, seen_wang.cursor)
    assert (gone.forget, ids(gone)) == ([record], set())
    assert ids(come) == {record}
    assert msgspec.msgpack.decode(come.records[0].fields)["code"] == component()["code"]


async def test_moved_within_street(office: Office) -> None:
    """A move within a street is forgotten by who may see only the community it left."""
    record, version = await put(office)
    li = inspector("li", "grid:440304001001")
    seen = await office.read(li)
    await office.write(supervisor(), "component", record, {"grid": "440304001002001"}, base=version)
    page = await office.read(li, seen.cursor)
    assert (page.forget, page.records) == ([record], [])


async def test_foreign_changes_are_not_named(office: Office) -> None:
    """A change of a record that was never in the reader's view does not even show its id."""
    record, version = await put(office, grid="440304001002001")
    li = inspector("li", "grid:440304001001")
    seen = await office.read(li)
    await office.write(supervisor(), "component", record, {"remark": "x"}, base=version)
    page = await office.read(li, seen.cursor)
    assert (page.forget, page.records) == ([], [])


async def test_new_grant_brings_old_records(office: Office) -> None:
    """A grant given later brings the records that were there long before."""
    record, _ = await put(office)
    device = new_id()
    li = actor("li", ("grid:440304002", Role.INSPECTOR), device=device)
    seen = await office.read(li)
    both = actor("li", ("grid:440304002", Role.INSPECTOR), ("grid:440304001", Role.INSPECTOR), device=device)
    assert ids(await office.read(both, seen.cursor)) == {record}


async def test_ended_grant(office: Office) -> None:
    """When a grant has ended its scope is no longer among the reader's scopes."""
    await put(office)
    ending = Grant("grid:440304001", Role.INSPECTOR, valid_until=NOW + 1_000)
    li = Actor("li", new_id(), (ending, Grant("grid:440304002", Role.INSPECTOR)))
    before = await office.read(li)
    office.now += 2_000
    after = await office.read(li, before.cursor)
    assert "grid:440304001" in before.scopes
    assert "grid:440304001" not in after.scopes


async def test_masked_field(office: Office) -> None:
    """A field a role may not read never leaves the server."""
    record = new_id()
    fields = {"grid": GRID, "kind": "0102", "text": "x", "contact": "13800000000"}
    await office.write(supervisor(), "finding", record, fields)
    seen_by_inspector = (await office.read(inspector("li"))).records[0]
    seen_by_supervisor = (await office.read(supervisor("chen"))).records[0]
    assert "contact" not in msgspec.msgpack.decode(seen_by_inspector.fields)
    assert msgspec.msgpack.decode(seen_by_supervisor.fields)["contact"] == "13800000000"


@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_lost_role_forgets(office: Office, limit: int) -> None:
    """Who loses a role forgets what only that role may see, on whatever page it comes, and keeps the rest."""
    shown, _ = await put(office)
    tracks = [new_id(), new_id(), new_id()]
    for track in tracks:
        await office.write(inspector("wang"), "track", track, {"grid": GRID})
    device = new_id()
    both = actor("li", ("grid:440304001", Role.INSPECTOR), ("grid:440304001", Role.SUPERVISOR), device=device)
    page = await office.read(both)
    assert ids(page) == {shown, *tracks}
    plain = actor("li", ("grid:440304001", Role.INSPECTOR), device=device)
    forgotten: set[uuid.UUID] = set()
    page = await office.read(plain, page.cursor, limit)
    forgotten |= set(page.forget)
    while page.more:
        page = await office.read(plain, page.cursor, limit)
        forgotten |= set(page.forget)
    assert forgotten == set(tracks)


async def test_gained_role_refetches(office: Office) -> None:
    """Who gains a role receives the fields it opens, though the records did not change."""
    record = new_id()
    fields = {"grid": GRID, "kind": "0102", "text": "x", "contact": "13800000000"}
    await office.write(supervisor(), "finding", record, fields)
    device = new_id()
    seen = await office.read(actor("li", ("grid:440304001", Role.INSPECTOR), device=device))
    more = actor("li", ("grid:440304001", Role.INSPECTOR), ("grid:440304001", Role.SUPERVISOR), device=device)
    (again,) = (await office.read(more, seen.cursor)).records
    assert msgspec.msgpack.decode(again.fields)["contact"] == "13800000000"


async def test_tombstone(office: Office) -> None:
    """A deleted record is sent as deleted, without its fields."""
    record, version = await put(office)
    li = inspector("li")
    seen = await office.read(li)
    await office.write(supervisor(), "component", record, {}, base=version, delete=True)
    (stone,) = (await office.read(li, seen.cursor)).records
    assert (stone.id, stone.deleted, bytes(stone.fields)) == (record, True, b"\x80")


async def test_conflicts_concern_few(office: Office) -> None:
    """A refusal goes to its author and the area's supervisors, not to other inspectors."""
    li, wang = inspector("li"), inspector("wang")
    record, version = await put(office)
    verdict = await office.write(li, "component", record, {"colour": "red"}, base=version)
    assert verdict.attention in ids(await office.read(li))
    assert verdict.attention in ids(await office.read(supervisor("chen")))
    assert verdict.attention not in ids(await office.read(wang))


@pytest.mark.parametrize("text", ["", "nonsense", "AAAA", "ä", "kg==" * 50])
async def test_foreign_cursor(office: Office, text: str) -> None:
    """A cursor this server did not make is answered with its code."""
    with pytest.raises(SyncError, match="cursor") as caught:
        await office.read(inspector("li"), text)
    assert caught.value.code == "cursor_invalid"


async def test_other_epoch(office: Office) -> None:
    """A cursor of other contents is not applied to these."""
    page = await office.read(inspector("li"))
    async with office.store.writing() as tx:
        await tx.renew(uuid.UUID(int=9), 0)
    with pytest.raises(SyncError) as caught:
        await office.read(inspector("li"), page.cursor)
    assert caught.value.code == "epoch_changed"
