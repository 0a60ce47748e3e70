"""Push decides every change once and says so."""

import uuid

import msgspec
import pytest

from field_schemas.access import Grant, Role
from sync.authority import Actor
from sync.clock import Captured, stamp_at
from sync.errors import SequenceError
from sync.messages import Outcome, PushResponse
from tests.unit.builders import GRID, NOW, Office, actor, component, inspector, new_id, supervisor


@pytest.fixture
def office() -> Office:
    return Office()


async def made(office: Office, author: Actor, **fields: object) -> tuple[uuid.UUID, int]:
    record = new_id()
    verdict = await office.write(author, "component", record, component(**fields))
    return record, verdict.version


async def test_creation_is_applied(office: Office) -> None:
    """A valid creation within a grant is applied and stored as sent."""
    record, version = await made(office, inspector("li"), condition="good")
    assert version > 0
    assert (await office.fields(record))["condition"] == "good"


async def test_different_fields_merge(office: Office) -> None:
    """Concurrent changes of different fields are both kept, without a conflict."""
    li, wang = inspector("li"), inspector("wang")
    record, seen = await made(office, li, condition="good")
    first = await office.write(li, "component", record, {"condition": "worn"}, base=seen)
    second = await office.write(wang, "component", record, {"remark": "盖板松动"}, base=seen)
    assert (first.outcome, second.outcome) == (Outcome.APPLIED, Outcome.APPLIED)
    fields = await office.fields(record)
    assert (fields["condition"], fields["remark"]) == ("worn", "盖板松动")


async def test_same_field_conflicts(office: Office) -> None:
    """Concurrent different values of a review field become a conflict holding base and both values."""
    li, wang = inspector("li"), inspector("wang")
    record, seen = await made(office, li, condition="good")
    await office.write(li, "component", record, {"condition": "worn"}, base=seen)
    verdict = await office.write(wang, "component", record, {"condition": "damaged"}, base=seen)
    assert verdict.outcome is Outcome.CONFLICT
    assert verdict.attention is not None
    (row,) = (await office.fields(verdict.attention))["differences"]
    assert (row["base"], row["standing"], row["offered"]) == ("good", "worn", "damaged")
    assert (row["field"], row["standing_by"]) == ("condition", "li")
    assert (await office.fields(record))["condition"] == "worn"


async def test_same_value_is_no_conflict(office: Office) -> None:
    """Two people who write the same value agree."""
    li, wang = inspector("li"), inspector("wang")
    record, seen = await made(office, li, condition="good")
    await office.write(li, "component", record, {"condition": "worn"}, base=seen)
    verdict = await office.write(wang, "component", record, {"condition": "worn"}, base=seen)
    assert verdict.outcome is Outcome.APPLIED


async def test_own_earlier_change_is_seen(office: Office) -> None:
    """A device that writes twice without a pull in between does not conflict with itself."""
    li = inspector("li")
    record, seen = await made(office, li, condition="good")
    await office.write(li, "component", record, {"condition": "worn"}, base=seen)
    verdict = await office.write(li, "component", record, {"condition": "damaged"}, base=seen)
    assert verdict.outcome is Outcome.APPLIED


async def test_supervisor_resolves(office: Office) -> None:
    """A resolution sets the disputed field and closes the conflict."""
    li, wang, sup = inspector("li"), inspector("wang"), supervisor()
    record, seen = await made(office, li, condition="good")
    await office.write(li, "component", record, {"condition": "worn"}, base=seen)
    dispute = await office.write(wang, "component", record, {"condition": "damaged"}, base=seen)
    assert dispute.attention
    choice = {"resolution": {"condition": "damaged"}, "state": "resolved"}
    verdict = await office.write(sup, "conflict", dispute.attention, choice, base=dispute.version + 1)
    assert verdict.outcome is Outcome.APPLIED
    assert (await office.fields(record))["condition"] == "damaged"


async def test_inspector_cannot_resolve(office: Office) -> None:
    """The author of a disputed value may see the conflict but not decide it."""
    li, wang = inspector("li"), inspector("wang")
    record, seen = await made(office, li, condition="good")
    await office.write(li, "component", record, {"condition": "worn"}, base=seen)
    dispute = await office.write(wang, "component", record, {"condition": "damaged"}, base=seen)
    assert dispute.attention
    choice = {"resolution": {"condition": "damaged"}, "state": "resolved"}
    verdict = await office.write(wang, "conflict", dispute.attention, choice, base=dispute.version + 1)
    assert (verdict.outcome, verdict.code) == (Outcome.REFUSED, "role_denied")
    assert (await office.fields(record))["condition"] == "worn"


async def test_resolution_of_foreign_field(office: Office) -> None:
    """A resolution that names a field nobody disputed is refused, and the conflict stays open."""
    li, wang = inspector("li"), inspector("wang")
    record, seen = await made(office, li, condition="good")
    await office.write(li, "component", record, {"condition": "worn"}, base=seen)
    dispute = await office.write(wang, "component", record, {"condition": "damaged"}, base=seen)
    assert dispute.attention
    choice = {"resolution": {"remark": "x"}, "state": "resolved"}
    verdict = await office.write(supervisor(), "conflict", dispute.attention, choice, base=dispute.version + 1)
    assert (verdict.outcome, verdict.code) == (Outcome.REFUSED, "field_unknown")
    assert (await office.fields(dispute.attention))["state"] == "open"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"colour": "red"}, "field_unknown"),
        ({"condition": "broken"}, "value_invalid"),
        ({"place": {"lon": 200, "lat": 22}}, "value_invalid"),
        ({"inspections": "three"}, "value_invalid"),
        ({"responsible": "物业公司"}, "field_denied"),
    ],
)
async def test_refusals_keep_the_change(office: Office, fields: dict[str, object], code: str) -> None:
    """A change that breaks a rule is refused with its code and kept word for word in a refusal record."""
    li = inspector("li")
    record, seen = await made(office, li)
    verdict = await office.write(li, "component", record, fields, base=seen)
    assert (verdict.outcome, verdict.code) == (Outcome.REFUSED, code)
    assert verdict.attention
    refusal = await office.fields(verdict.attention)
    assert (refusal["refused"], refusal["author"], refusal["state"]) == (fields, "li", "open")


async def test_refusal_does_not_block(office: Office) -> None:
    """The changes after a refused one are decided as if it were not there."""
    li = inspector("li")
    record, seen = await made(office, li)
    bad = office.change(li, "component", record, {"colour": "red"}, base=seen)
    good = office.change(li, "component", record, {"remark": "ok"}, base=seen)
    answer = await office.submit(li, bad, good)
    assert isinstance(answer, PushResponse)
    assert [verdict.outcome for verdict in answer.verdicts] == [Outcome.REFUSED, Outcome.APPLIED]
    assert answer.held == good.seq


async def test_unknown_type(office: Office) -> None:
    """A change of a type the server does not know is refused, not lost."""
    verdict = await office.write(inspector("li"), "spaceship", new_id(), {"speed": 3})
    assert (verdict.outcome, verdict.code) == (Outcome.REFUSED, "type_unknown")


async def test_missing_field(office: Office) -> None:
    """A creation without a required field names what is missing."""
    verdict = await office.write(inspector("li"), "component", new_id(), {"code": "1"})
    assert verdict.code == "field_missing"
    assert "grid, kind, place" in (verdict.detail or "")


async def test_out_of_scope(office: Office) -> None:
    """A record outside every grant cannot be made, even though its author would own it."""
    li = inspector("li", "grid:440304002")
    fields = {"grid": GRID, "kind": "0102", "text": "暴露垃圾"}
    verdict = await office.write(li, "finding", new_id(), fields)
    assert (verdict.outcome, verdict.code) == (Outcome.REFUSED, "scope_denied")


async def test_own_record_elsewhere(office: Office) -> None:
    """Whom a task is assigned to may work on it although it lies outside the own area."""
    li, sup = inspector("li", "grid:440304002"), supervisor()
    record = new_id()
    task = {"subject": "检查井盖", "grid": GRID, "assignee": "li"}
    await office.submit(li)
    made_task = await office.write(sup, "patrol_task", record, task)
    verdict = await office.write(li, "patrol_task", record, {"state": "started"}, base=made_task.version)
    assert verdict.outcome is Outcome.APPLIED


async def test_same_change_twice(office: Office) -> None:
    """The same change gets the same verdict and happens once, whatever batch it comes in."""
    li = inspector("li")
    record, seen = await made(office, li)
    first = office.change(li, "component", record, {"inspections": 1}, base=seen)
    second = office.change(li, "component", record, {"inspections": 1}, base=seen)
    one = await office.submit(li, first)
    both = await office.submit(li, first, second)
    assert isinstance(one, PushResponse)
    assert isinstance(both, PushResponse)
    assert both.verdicts[0] == one.verdicts[0]
    assert (await office.fields(record))["inspections"] == 2


async def test_hole_in_sequence(office: Office) -> None:
    """A hole in the numbering is answered with the number to go on from, and nothing is taken."""
    li = inspector("li")
    record, seen = await made(office, li)
    lost = office.change(li, "component", record, {"remark": "a"}, base=seen)
    after = office.change(li, "component", record, {"remark": "b"}, base=seen)
    answer = await office.submit(li, after)
    assert isinstance(answer, SequenceError)
    assert (answer.code, answer.expected) == ("sequence_gap", lost.seq)
    assert "remark" not in await office.fields(record)


async def test_reused_sequence(office: Office) -> None:
    """A number that another change used is not taken for a repetition."""
    li = inspector("li")
    record, seen = await made(office, li)
    other = office.change(li, "component", record, {"remark": "b"}, base=seen, seq=1)
    answer = await office.submit(li, other)
    assert isinstance(answer, SequenceError)
    assert (answer.code, answer.expected) == ("sequence_reused", 2)


async def test_renumbered_change(office: Office) -> None:
    """A change known by its id keeps its verdict under another number and device."""
    li = inspector("li")
    record, seen = await made(office, li)
    change = office.change(li, "component", record, {"inspections": 1}, base=seen)
    first = await office.submit(li, change)
    rebuilt = Actor(li.user, new_id(), li.grants)
    again = office.change(rebuilt, "component", record, {"inspections": 1}, base=seen, id=change.id)
    second = await office.submit(rebuilt, again)
    assert isinstance(first, PushResponse)
    assert isinstance(second, PushResponse)
    assert second.verdicts[0].version == first.verdicts[0].version
    assert (await office.fields(record))["inspections"] == 1


async def test_authority_as_of_capture(office: Office) -> None:
    """A change counts when its grant held at capture, though it has ended by the time it arrives."""
    ended = Grant("grid:440304001", Role.INSPECTOR, valid_until=NOW - 1_000)
    li = Actor("li", new_id(), (ended,))
    before = Captured(NOW - 5_000, NOW - 10_000, 5_000)
    record = new_id()
    verdict = await office.write(li, "component", record, component(), captured=before)
    assert verdict.outcome is Outcome.APPLIED
    late = await office.write(li, "component", record, {"remark": "x"}, base=verdict.version)
    assert late.code == "scope_denied"


async def test_clock_ahead_does_not_win(office: Office) -> None:
    """A stamp from the future counts as of receipt, so a wrong clock does not win for ever."""
    li, wang = inspector("li"), inspector("wang")
    record, seen = await made(office, li, name="a")
    future = stamp_at(NOW + 86_400_000)
    await office.write(wang, "component", record, {"name": "b"}, base=seen, stamp=future)
    office.now += 60_000
    await office.write(li, "component", record, {"name": "c"}, base=seen)
    assert (await office.fields(record))["name"] == "c"


async def test_illegal_transition(office: Office) -> None:
    """A workflow step that the table does not have is refused with what is possible."""
    sup, li = supervisor(), inspector("li")
    record = new_id()
    task = await office.write(sup, "patrol_task", record, {"subject": "检查井盖", "grid": GRID})
    verdict = await office.write(li, "patrol_task", record, {"state": "accepted"}, base=task.version)
    assert verdict.code == "transition_illegal"
    assert "started" in (verdict.detail or "")


async def test_delete_of_changed_record(office: Office) -> None:
    """A deletion based on an older version does not take the newer work of others with it."""
    li, sup = inspector("li"), supervisor()
    record, seen = await made(office, li)
    await office.write(li, "component", record, {"remark": "neu"}, base=seen)
    verdict = await office.write(sup, "component", record, {}, base=seen, delete=True)
    assert verdict.code == "record_changed"


async def test_change_after_delete(office: Office) -> None:
    """A change of a deleted record is refused and kept; the record does not come back."""
    li, sup = inspector("li"), supervisor()
    record, seen = await made(office, li)
    deleted = await office.write(sup, "component", record, {}, base=seen, delete=True)
    assert deleted.outcome is Outcome.APPLIED
    late = await office.write(li, "component", record, {"remark": "x"}, base=seen)
    assert late.code == "record_deleted"


@pytest.mark.parametrize(("fields", "undoes"), [({"remark": "x"}, False), ({}, True)])
async def test_a_deletion_is_nothing_else(office: Office, fields: dict[str, str], undoes: bool) -> None:
    """A deletion that sets fields or says that it takes back a change is refused: neither would be true."""
    sup = supervisor()
    record, seen = await made(office, sup)
    more = {"undoes": new_id()} if undoes else {}
    verdict = await office.write(sup, "component", record, fields, base=seen, delete=True, **more)
    assert verdict.code == "value_invalid"


async def test_private_field_stays_out_of_refusal(office: Office) -> None:
    """A refusal does not show a field that not everyone may read."""
    officer = actor("zhao", ("grid:440304001", Role.OFFICER))
    fields = {"grid": GRID, "kind": "0102", "text": "x", "contact": "13800000000", "state": "closed"}
    verdict = await office.write(officer, "finding", new_id(), fields)
    assert verdict.attention
    refused = (await office.fields(verdict.attention))["refused"]
    assert "contact" not in refused
    assert refused["text"] == "x"


async def test_refused_change_has_no_version(office: Office) -> None:
    """A change refused in the midst of its merge made no version: neither verdict nor log names one."""
    li, record = inspector("li"), new_id()
    first = await office.write(li, "component", record, component())
    refused = await office.write(li, "component", record, {"code": "another"}, base=first.version)
    async with office.store.reading() as tx:
        logged = (await tx.changes([refused.change]))[refused.change]
    assert (refused.code, refused.version, logged.version) == ("already_set", 0, 0)


LEFT = Grant("grid:440304001", Role.INSPECTOR, valid_until=NOW - 60_000)
BACKDATED = Captured(NOW - 90_000, NOW - 100_000, 10_000)


async def test_backdated_behind_the_last_contact(office: Office) -> None:
    """A device that had sent everything after its user's grant ended cannot claim an earlier moment."""
    for sent_all_ms, outcome in ((NOW - 95_000, Outcome.APPLIED), (NOW - 30_000, Outcome.REFUSED)):
        li = Actor("li", new_id(), (LEFT,), sent_all_ms=sent_all_ms)
        verdict = await office.write(li, "component", new_id(), component(), captured=BACKDATED)
        assert verdict.outcome is outcome


async def test_backdated_behind_what_it_builds_on(office: Office) -> None:
    """A change based on a version that was made after its author's grant ended was not captured before that."""
    office.now = NOW - 200_000
    record, old = await made(office, supervisor())
    office.now = NOW - 30_000
    new = (await office.write(supervisor(), "component", record, {"remark": "a"}, base=old)).version
    office.now = NOW
    li = Actor("li", new_id(), (LEFT,))
    codes = [
        (await office.write(li, "component", record, {"name": "b"}, base=base, captured=BACKDATED)).code
        for base in (new, old)
    ]
    assert codes == ["scope_denied", None]


async def test_an_impossible_time_has_no_bound(office: Office) -> None:
    """The log vouches for no time of capture before the device's enrolment or last contact; the claim is kept."""
    li = msgspec.structs.replace(inspector("li"), sent_all_ms=NOW - 30_000)
    verdict = await office.write(li, "component", new_id(), component(), captured=BACKDATED)
    async with office.store.reading() as tx:
        logged = (await tx.changes([verdict.change]))[verdict.change]
    assert (verdict.outcome, logged.captured_ms, logged.error_ms) == (Outcome.APPLIED, NOW - 90_000, None)
