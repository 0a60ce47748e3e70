"""What devices may try, on purpose or by mistake, and must not get away with."""

import uuid

import msgspec
import pytest

from field_schemas.access import Grant, Role
from field_schemas.registry import Registry
from sync.authority import SERVER, Actor
from sync.clock import Captured
from sync.decision import Submission
from sync.errors import SyncError
from sync.ids import derived_id
from sync.messages import MAX_CHANGE_BYTES, Outcome, PushResponse
from sync.push import push
from sync.receipts import receipt
from tests.integration.versioned_types import StreetSign
from tests.unit.builders import GRID, NOW, REGISTRY, Office, actor, component, inspector, new_id, supervisor

ELSEWHERE = "440304002001001"


@pytest.fixture
def office() -> Office:
    return Office()


async def made(office: Office, author: Actor, **fields: object) -> tuple[uuid.UUID, int]:
    record = new_id()
    verdict = await office.write(author, "component", record, component(**fields))
    return record, verdict.version


async def dispute(office: Office, record: uuid.UUID, seen: int) -> list[uuid.UUID]:
    """Three people give a record's condition three values: one stands, two become conflicts."""
    found = []
    for user, value in (("a", "worn"), ("b", "damaged"), ("c", "missing")):
        verdict = await office.write(inspector(user), "component", record, {"condition": value}, base=seen)
        found += [verdict.attention] if verdict.attention else []
    return found


async def test_resolution_in_ignorance_of_another(office: Office) -> None:
    """Two supervisors who settle two conflicts of one field without knowing of each other meet in a new conflict."""
    record, seen = await made(office, inspector("li"), condition="good")
    first, second = await dispute(office, record, seen)
    one, two = supervisor("one"), supervisor("two")
    await office.write(one, "conflict", first, {"resolution": {"condition": "damaged"}, "state": "resolved"}, base=99)
    blind = {"resolution": {"condition": "missing"}, "state": "resolved"}
    await office.write(two, "conflict", second, blind, base=99)
    assert (await office.fields(record))["condition"] == "damaged"
    page = await office.read(supervisor("three"))
    conflicts = [msgspec.msgpack.decode(one.fields) for one in page.records if one.type == "conflict"]
    assert [one["state"] for one in conflicts].count("open") == 1


async def test_server_writes_do_not_know_each_other(office: Office) -> None:
    """A write of the server based on an older version does not pass for one that has seen the server's last."""
    record, seen = await made(office, inspector("li"), condition="good")
    for number, value in ((1, "worn"), (2, "damaged")):
        verdict = await office.write(SERVER, "component", record, {"condition": value}, base=seen, seq=0)
        assert verdict.outcome is (Outcome.APPLIED if number == 1 else Outcome.CONFLICT)


async def test_resolved_conflict_is_closed(office: Office) -> None:
    """A conflict that is resolved takes no second resolution."""
    record, seen = await made(office, inspector("li"), condition="good")
    first, _ = await dispute(office, record, seen)
    choice = {"resolution": {"condition": "damaged"}, "state": "resolved"}
    await office.write(supervisor("one"), "conflict", first, choice, base=99)
    late = {"resolution": {"condition": "missing"}, "state": "resolved"}
    verdict = await office.write(supervisor("two"), "conflict", first, late, stamp=1, base=1)
    assert verdict.code == "already_set"
    assert (await office.fields(first))["resolution"] == {"condition": "damaged"}


async def test_bad_resolution_is_one_refusal(office: Office) -> None:
    """A resolution that its author may not carry out is refused once."""
    record, seen = await made(office, inspector("li"), condition="good")
    first, _ = await dispute(office, record, seen)
    choice = {"resolution": {"condition": "nonsense"}, "state": "resolved"}
    verdict = await office.write(supervisor("one"), "conflict", first, choice, base=99)
    assert verdict.code == "value_invalid"
    page = await office.read(supervisor("three"))
    assert [one.id for one in page.records if one.type == "refusal"] == [verdict.attention]


async def test_no_record_grows_without_bound(office: Office) -> None:
    """A record that has its four megabytes takes no more, but may be written to otherwise, and made smaller."""
    li = inspector("li")
    record, seen = await made(office, li)
    parts = [[f"{part}-{number:06}" * 5 for number in range(12_000)] for part in range(10)]
    grown = [await office.write(li, "component", record, {"tags": {"add": part}}, base=seen) for part in parts]
    codes = [verdict.code for verdict in grown]
    assert codes == [None] * codes.count(None) + ["record_too_large"] * codes.count("record_too_large")
    assert {None, "record_too_large"} == set(codes)
    other = await office.write(li, "component", record, {"condition": "worn"}, base=seen)
    less = await office.write(li, "component", record, {"tags": {"remove": parts[0]}}, base=10**6)
    again = await office.write(li, "component", record, {"tags": {"add": parts[-1]}}, base=10**6)
    assert (other.code, less.code, again.code) == (None, None, None)


async def test_no_move_out_of_reach(office: Office) -> None:
    """Nobody moves a record to where they hold no grant."""
    li = inspector("li")
    record, seen = await made(office, li)
    verdict = await office.write(li, "component", record, {"grid": ELSEWHERE}, base=seen)
    assert verdict.code == "scope_denied"
    assert (await office.fields(record))["grid"] == GRID


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("patrol_shift", {"inspector": "li", "grid": ELSEWHERE, "starts_at": "2026-01-01T00:00:00Z"}),
        ("finding", {"grid": ELSEWHERE, "kind": "0102", "text": "x"}),
    ],
)
async def test_own_name_opens_no_area(office: Office, kind: str, fields: dict[str, object]) -> None:
    """To name oneself in a new record gives no right to place it anywhere."""
    verdict = await office.write(inspector("li"), kind, new_id(), fields)
    assert verdict.code == "scope_denied"


async def test_outsider_learns_nothing(office: Office) -> None:
    """Who has no grant over a record learns from the refusal neither its place nor its owner nor its type."""
    record, seen = await made(office, inspector("li"))
    outsider = inspector("wu", "grid:440304002")
    for kind in ("component", "note"):
        verdict = await office.write(outsider, kind, record, {}, base=seen)
        assert verdict.attention
        told = msgspec.msgpack.encode([verdict.detail, await office.fields(verdict.attention)]).decode("latin-1")
        assert GRID not in told
        assert "person:li" not in told
        if kind == "note":
            assert "component" not in told


async def test_outsider_fills_no_foreign_list(office: Office) -> None:
    """What an outsider sends about an area shows up with the outsider's own supervisors."""
    outsider = inspector("wu", "grid:440304002")
    verdict = await office.write(outsider, "component", new_id(), component())
    here = await office.read(supervisor("here", "grid:440304001"))
    there = await office.read(supervisor("there", "grid:440304002"))
    assert verdict.attention not in {one.id for one in here.records}
    assert verdict.attention in {one.id for one in there.records}


async def test_large_change_gets_its_refusal(office: Office) -> None:
    """A change of nearly the largest size that is refused has its refusal record."""
    record, seen = await made(office, inspector("li"))
    verdict = await office.write(
        inspector("li"), "component", record, {"nothing": "x" * (MAX_CHANGE_BYTES - 50)}, base=seen
    )
    assert verdict.attention
    assert (await office.fields(verdict.attention))["code"] == "field_unknown"


@pytest.mark.parametrize("purpose", ["refusal", "conflict", "resolution"])
async def test_ids_of_the_server_cannot_be_taken(office: Office, purpose: str) -> None:
    """A device cannot take the id that the server would derive, neither for a change nor for a record."""
    li = inspector("li")
    planned = new_id()
    taken = office.change(li, "component", new_id(), component(), id=derived_id(planned, purpose))
    answer = await office.submit(li, taken)
    assert isinstance(answer, SyncError)
    assert answer.code == "id_invalid"
    again = office.change(li, "component", derived_id(planned, f"{purpose} record"), component(), seq=1)
    verdicts = await office.submit(li, again)
    assert isinstance(verdicts, PushResponse)
    assert verdicts.verdicts[0].code == "id_invalid"


async def test_id_of_another_user(office: Office) -> None:
    """An id that another user's change has is not taken for a repetition of that change."""
    li, wu = inspector("li"), inspector("wu")
    first = office.change(li, "component", new_id(), component())
    await office.submit(li, first)
    answer = await office.submit(wu, office.change(wu, "note", new_id(), {"grid": GRID, "text": "x"}, id=first.id))
    assert isinstance(answer, SyncError)
    assert answer.code == "id_invalid"


async def test_held_is_what_is_stored(office: Office) -> None:
    """When all changes of a push are known already, what the server says to hold is held at the next push too."""
    li = inspector("li")
    change = office.change(li, "component", new_id(), component())
    await office.submit(li, change)
    answer = await office.submit(li, msgspec.structs.replace(change, seq=2))
    assert isinstance(answer, PushResponse)
    follower = office.change(li, "component", new_id(), component(), seq=answer.held + 1)
    assert isinstance(await office.submit(li, follower), PushResponse)


@pytest.mark.parametrize("segment", [b"", b"\xff\xff", b"\x01\x05"])
async def test_broken_track_segment(office: Office, segment: bytes) -> None:
    """A segment that cannot be unpacked is refused, so that every stored track can be drawn."""
    verdict = await office.write(inspector("li"), "track", new_id(), {"grid": GRID, "segments": [segment]})
    assert verdict.code == "value_invalid"


async def test_role_in_a_part_of_the_area(office: Office) -> None:
    """A role given over a part of an area shows what it opens there at once, and hides it when it ends."""
    record = new_id()
    fields = {"grid": GRID, "kind": "0102", "text": "x", "contact": "13800000000"}
    await office.write(supervisor(), "finding", record, fields)
    device = new_id()
    plain = actor("li", ("grid:440304001", Role.INSPECTOR), device=device)
    more = actor("li", ("grid:440304001", Role.INSPECTOR), ("grid:440304001001", Role.SUPERVISOR), device=device)
    page = await office.read(plain)
    opened = await office.read(more, page.cursor)
    closed = await office.read(plain, opened.cursor)
    shown = [msgspec.msgpack.decode(one.records[0].fields).get("contact") for one in (page, opened, closed)]
    assert shown == [None, "13800000000", None]


async def test_refusal_that_would_apply_itself(office: Office) -> None:
    """A refused change of its own refusal cannot be applied, and blocks nobody."""
    li, sup = inspector("li"), supervisor()
    trap = office.change(li, "refusal", new_id(), {"state": "applied"})
    trap = msgspec.structs.replace(trap, record=derived_id(trap.id, "refusal record"))
    answer = await office.submit(li, trap)
    assert isinstance(answer, PushResponse)
    verdict = await office.write(sup, "refusal", trap.record, {"state": "applied"}, base=10**6)
    assert verdict.code == "role_denied"
    assert (await office.write(sup, "component", new_id(), component())).outcome is Outcome.APPLIED


async def test_refusal_applied_in_the_push_that_made_it(office: Office) -> None:
    """A refusal may be applied in the same push as the change it is about, and is judged like any other."""
    sup = supervisor()
    record, seen = await made(office, inspector("li"))
    bad = office.change(sup, "component", record, {"colour": "red"}, base=seen)
    closing = office.change(sup, "refusal", derived_id(bad.id, "refusal record"), {"state": "applied"})
    answer = await office.submit(sup, bad, closing)
    assert isinstance(answer, PushResponse)
    assert [verdict.code for verdict in answer.verdicts] == ["field_unknown", "field_unknown"]


async def test_resolution_counts_as_of_its_capture(office: Office) -> None:
    """A supervisor who resolved while the grant held is obeyed, though it has ended when the resolution arrives."""
    record, seen = await made(office, inspector("li"), condition="good")
    first, _ = await dispute(office, record, seen)
    ended = Grant("grid:440304", Role.SUPERVISOR, valid_until=office.now + 1_000)
    sup = Actor("sup", new_id(), (ended,))
    choice = {"resolution": {"condition": "damaged"}, "state": "resolved"}
    change = office.change(sup, "conflict", first, choice, base=10**6)
    office.now += 60_000
    answer = await office.submit(sup, change)
    assert isinstance(answer, PushResponse)
    assert answer.verdicts[0].outcome is Outcome.APPLIED
    assert (await office.fields(record))["condition"] == "damaged"


async def test_wrong_area_is_told_to_the_own_supervisor(office: Office) -> None:
    """A finding placed in a foreign street by mistake is dealt with at home."""
    fields = {"grid": ELSEWHERE, "kind": "0102", "text": "x"}
    verdict = await office.write(inspector("li"), "finding", new_id(), fields)
    home = await office.read(supervisor("home", "grid:440304001"))
    away = await office.read(supervisor("away", "grid:440304002"))
    assert verdict.attention in {one.id for one in home.records}
    assert verdict.attention not in {one.id for one in away.records}


async def test_nobody_is_addressed_at_will(office: Office) -> None:
    """A device cannot put something on everybody's list."""
    forged = {"record_type": "x", "record": str(new_id()), "concerns": ["all:", "person:chen"], "state": "open"}
    verdict = await office.write(inspector("li"), "conflict", new_id(), forged)
    stranger = await office.read(actor("chen", ("grid:440309", Role.SUPERVISOR)))
    assert verdict.outcome is Outcome.REFUSED
    assert stranger.records == []


@pytest.mark.parametrize(
    "claimed", [Captured(NOW, None, None), Captured(NOW, NOW - 1, None), Captured(NOW, NOW, 0, 2**52)]
)
async def test_offline_limit_holds_whatever_is_claimed(office: Office, claimed: Captured) -> None:
    """A change that is too old is too old after a reboot, without a contact, and with any claimed error."""
    change = office.change(inspector("li"), "component", new_id(), component(), captured=claimed)
    office.now += 199 * 86_400_000
    answer = await office.submit(inspector("li"), change)
    assert isinstance(answer, PushResponse)
    assert answer.verdicts[0].code == "offline_too_long"


async def test_own_note_can_be_placed_anew(office: Office) -> None:
    """An author may correct the place of an own note within the granted area."""
    li, note = inspector("li"), new_id()
    made_note = await office.write(li, "note", note, {"grid": GRID, "text": "x"})
    moved = await office.write(li, "note", note, {"grid": "440304001002001"}, base=made_note.version)
    assert moved.outcome is Outcome.APPLIED
    away = await office.write(li, "note", note, {"grid": ELSEWHERE}, base=moved.version)
    assert away.code == "scope_denied"


async def test_change_named_twice_in_a_receipt(office: Office) -> None:
    """A receipt does not count a change twice."""
    li = inspector("li")
    change = office.change(li, "component", new_id(), component())
    await office.submit(li, change)
    async with office.store.reading() as tx:
        with pytest.raises(SyncError) as caught:
            await receipt(tx, li, None, [change.id] * 2, office.now)
    assert caught.value.code == "parameter_invalid"


async def test_outsider_does_not_learn_what_is_gone(office: Office) -> None:
    """That a record was deleted, or what it is, is told to nobody who has no grant over it."""
    record, seen = await made(office, inspector("li"))
    await office.write(supervisor(), "component", record, {}, base=seen, delete=True)
    outsider = inspector("wu", "grid:440304002")
    codes = {(await office.write(outsider, kind, record, {}, base=seen)).code for kind in ("component", "note")}
    assert codes == {"scope_denied"}


async def test_choice_of_a_value_that_stood(office: Office) -> None:
    """Who chooses the standing value, which has changed meanwhile, is not passed over: a new conflict asks again."""
    record, seen = await made(office, inspector("li"), condition="good")
    first, _ = await dispute(office, record, seen)
    at = (await office.read(supervisor("watch"))).records
    version = next(one.version for one in at if one.id == record)
    await office.write(inspector("d"), "component", record, {"condition": "unknown"}, base=version)
    choice = {"resolution": {"condition": "worn"}, "state": "resolved"}
    await office.write(supervisor("one"), "conflict", first, choice, base=10**6)
    page = await office.read(supervisor("watch"))
    offered = [
        msgspec.msgpack.decode(one.fields)["differences"][0]["offered"]
        for one in page.records
        if one.type == "conflict" and msgspec.msgpack.decode(one.fields)["state"] == "open"
    ]
    assert "worn" in offered


@pytest.mark.parametrize(
    ("resolution", "code"), [({"bogus": 1}, "field_unknown"), ({"condition": "worn"}, "value_invalid")]
)
async def test_a_resolution_that_resolves_nothing(office: Office, resolution: object, code: str) -> None:
    """A resolution without the state, of whatever fields, is refused and stands in nobody's way."""
    record, seen = await made(office, inspector("li"), condition="good")
    conflict, _ = await dispute(office, record, seen)
    tried = await office.write(supervisor(), "conflict", conflict, {"resolution": resolution}, base=99)
    choice = {"resolution": {"condition": "damaged"}, "state": "resolved"}
    done = await office.write(supervisor(), "conflict", conflict, choice, base=99)
    assert (tried.code, done.outcome) == (code, Outcome.APPLIED)
    assert (await office.fields(record))["condition"] == "damaged"


@pytest.mark.parametrize("stamp", [1, 2**52])
async def test_one_conflict_is_resolved_once(office: Office, stamp: int) -> None:
    """Another resolution of a resolved conflict is refused, by an earlier or later stamp; the same is not."""
    record, seen = await made(office, inspector("li"), condition="good")
    conflict, _ = await dispute(office, record, seen)
    codes = []
    for user, value, at in (("one", "damaged", 1_000), ("two", "missing", stamp), ("three", "damaged", stamp)):
        choice = {"resolution": {"condition": value}, "state": "resolved"}
        verdict = await office.write(supervisor(user), "conflict", conflict, choice, base=1, stamp=at)
        codes.append(verdict.code)
    assert codes == [None, "already_set", None]
    assert (await office.fields(record))["condition"] == "damaged"


@pytest.mark.parametrize("value", [{"a": 1}, "high", [], 2**64 - 1, float("inf")])
async def test_an_old_change_that_cannot_be_upgraded(office: Office, value: object) -> None:
    """A value that an older program's change has wrong is refused, whatever the type's upgrade makes of it."""
    li, registry = inspector("li"), Registry([*(spec.cls for spec in REGISTRY), StreetSign])
    fields = {"grid": GRID, "text": "x", "height_cm": value}
    change = office.change(li, "street_sign", new_id(), fields, type_version=2)
    async with office.store.writing() as tx:
        (answer,) = await push(tx, registry, [Submission(li, [change], office.now)])
    assert isinstance(answer, PushResponse)
    assert [(verdict.code, verdict.attention is not None) for verdict in answer.verdicts] == [("value_invalid", True)]
