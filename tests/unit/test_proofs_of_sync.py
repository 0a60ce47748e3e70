"""History, digests, receipts and undo: what proves that sync did right, and takes back what it did wrong."""

import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from field_schemas.access import Role
from field_schemas.record import type_of
from field_schemas.types.component import Component
from sync.authority import Actor
from sync.digest import RangeDigest, differing, digest_ranges
from sync.errors import ChangeUnknown, SyncError
from sync.history import history
from sync.ids import derived_id, uuid7
from sync.messages import DigestRequest, DigestResponse, FetchRequest, FetchResponse, Outcome, PushResponse
from sync.receipts import CHAIN_START, Receipt, chained, receipt
from sync.undo import undo_patch
from sync.verify import LISTED, digest, fetch, repairs
from tests.unit.builders import GRID, REGISTRY, STREET, Office, actor, component, inspector, new_id, supervisor


@pytest.fixture
def office() -> Office:
    return Office()


async def put(office: Office, **fields: object) -> tuple[uuid.UUID, int]:
    record = uuid7(office.now, lambda count: derived_id(new_id(), "spread over all ranges").bytes[:count])
    verdict = await office.write(supervisor(), "component", record, component(**fields))
    return record, verdict.version


async def ask(office: Office, reader: Actor, scope: str, prefix: str = "") -> DigestResponse:
    async with office.store.reading() as tx:
        return await digest(tx, REGISTRY, reader, DigestRequest(scope, prefix), office.now)


async def get(office: Office, reader: Actor, *ids: uuid.UUID) -> FetchResponse:
    async with office.store.reading() as tx:
        return await fetch(tx, REGISTRY, reader, FetchRequest(list(ids)), office.now)


async def test_history_tells_all(office: Office) -> None:
    """The history names every change with author, verdict, new and old values, refused ones too."""
    li = inspector("li")
    record, seen = await put(office, condition="good")
    await office.write(li, "component", record, {"condition": "worn"}, base=seen)
    await office.write(li, "component", record, {"responsible": "x"}, base=seen)
    async with office.store.reading() as tx:
        told = await history(tx, REGISTRY, li, record, office.now)
    rows = [(entry.user, entry.outcome, msgspec.msgpack.decode(entry.before)) for entry in told.entries]
    assert sorted(row[:2] for row in rows) == [("li", "applied"), ("li", "refused"), ("sup", "applied")]
    assert {"condition": "good"} in [row[2] for row in rows]


async def test_history_is_masked(office: Office) -> None:
    """History shows no field and no record that pull would not show."""
    record = new_id()
    fields = {"grid": GRID, "kind": "0102", "text": "x", "contact": "13800000000"}
    await office.write(supervisor(), "finding", record, fields)
    async with office.store.reading() as tx:
        (entry,) = (await history(tx, REGISTRY, inspector("li"), record, office.now)).entries
        with pytest.raises(SyncError) as caught:
            await history(tx, REGISTRY, inspector("wu", "grid:440304002"), record, office.now)
    assert "contact" not in msgspec.msgpack.decode(entry.fields)
    assert caught.value.code == "record_unknown"


async def test_equal_copies_have_equal_digests(office: Office) -> None:
    """What a reader pulled has the digest the server gives for the reader's view, and nothing of others in it."""
    for _ in range(5):
        await put(office)
    await office.write(inspector("wang"), "track", new_id(), {"grid": GRID})
    li = inspector("li")
    page = await office.read(li)
    answer = await ask(office, li, f"grid:{STREET}")
    own = digest_ranges((record.id, record.version) for record in page.records)
    assert differing(own, answer.ranges) == []
    assert answer.count == len(page.records) == 5


async def test_a_difference_is_found_and_repaired(office: Office) -> None:
    """A copy that lost one record, kept a deleted one and missed a change is repaired by exactly those three."""
    li, sup = inspector("li"), supervisor()
    made = [await put(office) for _ in range(LISTED + 50)]
    copy = {record.id: record.version for record in (await office.read(li)).records}
    (lost, _), (stale, at), (dead, dead_at) = made[0], made[1], made[2]
    del copy[lost]
    await office.write(sup, "component", stale, {"remark": "x"}, base=at)
    await office.write(sup, "component", dead, {}, base=dead_at, delete=True)
    top = await ask(office, li, f"grid:{STREET}")
    assert top.records is None
    wanted: list[uuid.UUID] = []
    unwanted: list[uuid.UUID] = []
    for prefix in differing(digest_ranges(copy.items()), top.ranges):
        part = await ask(office, li, f"grid:{STREET}", prefix)
        assert part.records is not None
        ours = {one: version for one, version in copy.items() if one.hex[20:].startswith(prefix)}
        missing, extra = repairs(ours, dict(part.records))
        wanted += missing
        unwanted += extra
    assert (set(wanted), set(unwanted)) == ({lost, stale}, {dead})
    assert {record.id for record in (await get(office, li, *wanted)).records} == {lost, stale}


async def test_digest_of_foreign_scope(office: Office) -> None:
    """Nobody gets the digest of a scope that is not the own."""
    await put(office, grid="440304002001001")
    with pytest.raises(SyncError) as caught:
        await ask(office, inspector("li"), "grid:440304002")
    assert caught.value.code == "scope_denied"


async def test_fetch_shows_no_more_than_pull(office: Office) -> None:
    """A record asked for by id is shown only to whom pull would show it."""
    here, _ = await put(office)
    there, _ = await put(office, grid="440304002001001")
    answer = await get(office, inspector("li"), here, there, new_id())
    assert [record.id for record in answer.records] == [here]
    assert there in answer.forget


async def test_fetch_names_the_contents(office: Office) -> None:
    """What is fetched says of which contents it is, as a page does."""
    here, _ = await put(office)
    assert (await get(office, inspector("li"), here)).epoch == (await office.read(inspector("li"))).epoch


async def pushed(office: Office, author: Actor, count: int) -> list[uuid.UUID]:
    changes = [office.change(author, "component", new_id(), component()) for _ in range(count)]
    assert isinstance(await office.submit(author, *changes), PushResponse)
    return [change.id for change in changes]


async def receive(office: Office, author: Actor, previous: Receipt | None, changes: list[uuid.UUID]) -> Receipt:
    async with office.store.reading() as tx:
        return await receipt(tx, author, previous, changes, office.now)


async def test_receipts_continue(office: Office) -> None:
    """Two receipts in a row end in the chain of one over all changes, which the device can compute itself."""
    li = inspector("li")
    ids = await pushed(office, li, 5)
    first = await receive(office, li, None, ids[:2])
    second = await receive(office, li, first, ids[2:])
    whole = await receive(office, li, None, ids)
    assert (
        (second.held, second.chain)
        == (whole.held, whole.chain)
        == (5, chained(CHAIN_START, [(i, Outcome.APPLIED) for i in ids]))
    )


async def test_no_receipt_for_what_is_not_held(office: Office) -> None:
    """The server signs for no change it does not have, nor for one of somebody else."""
    li, wang = inspector("li"), inspector("wang")
    (own,) = await pushed(office, li, 1)
    (foreign,) = await pushed(office, wang, 1)
    for change in (new_id(), foreign):
        with pytest.raises(ChangeUnknown) as caught:
            await receive(office, li, None, [own, change])
        assert caught.value.change == change


@given(st.lists(st.tuples(st.uuids(), st.sampled_from(Outcome)), min_size=1, max_size=8), st.data())
def test_chain_shows_any_difference(changes: list[tuple[uuid.UUID, Outcome]], data: st.DataObject) -> None:
    """Another id, another verdict or another order gives another chain."""
    place = data.draw(st.integers(0, len(changes) - 1))
    change, outcome = changes[place]
    other = Outcome.REFUSED if outcome is not Outcome.REFUSED else Outcome.APPLIED
    forged = [*changes[:place], (change, other), *changes[place + 1 :]]
    assert chained(CHAIN_START, changes) != chained(CHAIN_START, forged)
    assert chained(CHAIN_START, changes) != chained(CHAIN_START, changes[:-1])


async def test_receipt_of_another_device(office: Office) -> None:
    """A receipt cannot be continued by another device."""
    li = inspector("li")
    ids = await pushed(office, li, 1)
    given_to_li = await receive(office, li, None, ids)
    with pytest.raises(SyncError) as caught:
        await receive(office, Actor("li", new_id(), li.grants), given_to_li, [])
    assert caught.value.code == "receipt_invalid"


async def test_undo_is_a_change(office: Office) -> None:
    """An undo restores what can be restored, by a new change that anyone can see."""
    li, sup = inspector("li"), supervisor()
    record, seen = await put(office, condition="good", tags={"add": ["a"]}, inspections=3)
    bad = {"condition": "missing", "inspections": 2, "tags": {"add": ["b"], "remove": ["a"]}, "remark": "错"}
    verdict = await office.write(li, "component", record, bad, base=seen)
    async with office.store.reading() as tx:
        entry = (await history(tx, REGISTRY, sup, record, office.now)).entries[-1]
    spec = type_of(Component)
    patch, kept = undo_patch(spec, msgspec.msgpack.decode(entry.fields), msgspec.msgpack.decode(entry.before))
    undone = await office.write(sup, "component", record, patch, base=verdict.version)
    fields = await office.fields(record)
    assert undone.outcome is Outcome.APPLIED
    assert (fields["condition"], fields["inspections"], fields["tags"], fields["remark"], kept) == (
        "good",
        3,
        ["a"],
        None,
        [],
    )


def test_undo_names_what_stays() -> None:
    """What only grows cannot be taken back, and the undo says so."""
    patch, kept = undo_patch(type_of(Component), {"code": "1"}, {"code": None, "last_inspected_at": None})
    assert (patch, kept) == ({}, ["code", "last_inspected_at"])


async def test_revoked_device_is_quarantined(office: Office) -> None:
    """The changes of a revoked device are kept apart, and a supervisor can make them count."""
    record, seen = await put(office)
    lost = msgspec.structs.replace(inspector("li"), revoked=True)
    verdict = await office.write(lost, "component", record, {"remark": "x"}, base=seen)
    assert (verdict.outcome, verdict.code) == (Outcome.REFUSED, "device_quarantined")
    assert "remark" not in await office.fields(record)
    assert verdict.attention
    applied = await office.write(supervisor(), "refusal", verdict.attention, {"state": "applied"}, base=10**6)
    assert applied.outcome is Outcome.APPLIED
    assert (await office.fields(record))["remark"] == "x"


async def test_author_cannot_release(office: Office) -> None:
    """Who made a refused change cannot make it count by the own word."""
    record, seen = await put(office)
    li = inspector("li")
    verdict = await office.write(li, "component", record, {"responsible": "x"}, base=seen)
    assert verdict.attention
    tried = await office.write(li, "refusal", verdict.attention, {"state": "applied"}, base=10**6)
    assert tried.code == "transition_illegal"


async def test_offline_for_too_long(office: Office) -> None:
    """A change captured before the allowed time offline is refused and kept."""
    li = inspector("li")
    change = office.change(li, "component", new_id(), component())
    office.now += 31 * 86_400_000
    answer = await office.submit(li, change)
    assert isinstance(answer, PushResponse)
    assert answer.verdicts[0].code == "offline_too_long"


def test_digest_counts() -> None:
    """An empty copy has no ranges; one record has one."""
    one = digest_ranges([(uuid.UUID(int=5), 1)])
    assert digest_ranges([]) == {}
    assert [value.count for value in one.values()] == [1]
    assert isinstance(next(iter(one.values())), RangeDigest)


async def test_two_undo_the_same(office: Office) -> None:
    """A change that two people take back is taken back once, and the second is told."""
    record, seen = await put(office, inspections=3)
    wrong = await office.write(inspector("li"), "component", record, {"inspections": 2}, base=seen)
    first, second = [
        await office.write(author, "component", record, {"inspections": -2}, base=wrong.version, undoes=wrong.change)
        for author in (supervisor(), inspector("li"))
    ]
    assert (first.outcome, second.outcome, second.code) == (Outcome.APPLIED, Outcome.REFUSED, "already_undone")
    assert (await office.fields(record))["inspections"] == 3
    async with office.store.reading() as tx:
        entries = (await history(tx, REGISTRY, supervisor(), record, office.now)).entries
    assert [entry.undone for entry in entries if entry.change == wrong.change] == [first.version]


async def test_an_undo_can_be_undone(office: Office) -> None:
    """What an undo took back comes back by its own undo."""
    sup = supervisor()
    record, seen = await put(office, inspections=3)
    wrong = await office.write(sup, "component", record, {"inspections": 2}, base=seen)
    undo = await office.write(sup, "component", record, {"inspections": -2}, base=wrong.version, undoes=wrong.change)
    redo = await office.write(sup, "component", record, {"inspections": 2}, base=undo.version, undoes=undo.change)
    assert redo.outcome is Outcome.APPLIED
    assert (await office.fields(record))["inspections"] == 5


@pytest.mark.parametrize("patch", [{"remark": "hi"}, {"condition": "good", "remark": "hi"}, {}])
async def test_what_is_no_undo_takes_nothing_back(office: Office, patch: dict[str, object]) -> None:
    """Who passes other work off as the undo of a change is refused, and the change can still be undone."""
    record, seen = await put(office, condition="good")
    wang = inspector("wang")
    wrong = await office.write(wang, "component", record, {"condition": "worn"}, base=seen)
    spoof = await office.write(inspector("li"), "component", record, patch, base=10**6, undoes=wrong.change)
    undo = await office.write(wang, "component", record, {"condition": "good"}, base=10**6, undoes=wrong.change)
    assert (spoof.code, undo.outcome) == ("value_invalid", Outcome.APPLIED)


async def test_only_what_took_effect_here_is_undone(office: Office) -> None:
    """A change that nobody made, that was refused, or that is another record's cannot be taken back."""
    record, seen = await put(office, condition="good")
    other, _ = await put(office, condition="good")
    li = inspector("li")
    refused = await office.write(li, "component", record, {"responsible": "x"}, base=seen)
    elsewhere = await office.write(li, "component", other, {"condition": "worn"}, base=10**6)
    codes = {new_id(): "change_unknown", refused.change: "value_invalid", elsewhere.change: "change_unknown"}
    for undone, code in codes.items():
        undo = await office.write(li, "component", record, {"condition": "worn"}, base=10**6, undoes=undone)
        assert undo.code == code


async def test_an_applied_undo_counts(office: Office) -> None:
    """A refused undo that a supervisor applies is the one undo of that change."""
    record, seen = await put(office, inspections=3)
    wrong = await office.write(inspector("li"), "component", record, {"inspections": 2}, base=seen)
    steward = actor("zhao", (f"grid:{STREET}", Role.STEWARD))
    undo = {"inspections": -2}
    tried = await office.write(steward, "component", record, undo, base=wrong.version, undoes=wrong.change)
    assert (tried.code, tried.attention is not None) == ("role_denied", True)
    assert tried.attention
    await office.write(supervisor(), "refusal", tried.attention, {"state": "applied"}, base=10**6)
    again = await office.write(inspector("li"), "component", record, undo, base=wrong.version, undoes=wrong.change)
    assert again.code == "already_undone"
    assert (await office.fields(record))["inspections"] == 3


def test_undo_of_what_had_not_been_set() -> None:
    """A field set for the first time goes back to its default, to nothing where it may be empty; else it stays."""
    before = {"condition": None, "material": None, "kind": None}
    patch, kept = undo_patch(type_of(Component), {"condition": "worn", "material": "x", "kind": "0102"}, before)
    assert (patch, kept) == ({"condition": "unknown", "material": None}, ["kind"])
