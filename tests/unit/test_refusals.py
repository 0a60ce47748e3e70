"""Refusals: what was refused takes effect once, whoever deals with it, in whatever order."""

import uuid

import msgspec
import pytest

from sync.authority import Actor
from sync.errors import SyncError
from sync.history import history
from sync.messages import Outcome, Verdict
from tests.unit.builders import REGISTRY, Office, component, inspector, new_id, supervisor

LATEST = 10**6


@pytest.fixture
def office() -> Office:
    return Office()


async def refused(office: Office, author: Actor) -> tuple[uuid.UUID, uuid.UUID]:
    """A component, and the refusal of a change that counted two inspections on it."""
    record = new_id()
    await office.write(supervisor(), "component", record, component())
    verdict = await office.write(author, "component", record, {"inspections": 2, "responsible": "x"}, base=LATEST)
    assert (verdict.code, verdict.attention is not None) == ("field_denied", True)
    assert verdict.attention
    return record, verdict.attention


async def resend(office: Office, author: Actor, record: uuid.UUID, refusal: uuid.UUID) -> Verdict:
    return await office.write(author, "component", record, {"inspections": 2}, base=LATEST, settles=refusal)


async def test_resending_closes_the_refusal(office: Office) -> None:
    """The corrected change is made and its refusal is closed, both by one change."""
    li = inspector("li")
    record, refusal = await refused(office, li)
    assert (await resend(office, li, record, refusal)).outcome is Outcome.APPLIED
    assert (await office.fields(record))["inspections"] == 2
    assert (await office.fields(refusal))["state"] == "resent"


async def test_resent_after_it_was_applied(office: Office) -> None:
    """A refused change that a supervisor has applied is not made again by its author's correction."""
    li = inspector("li")
    record, refusal = await refused(office, li)
    await office.write(supervisor(), "refusal", refusal, {"state": "applied"}, base=LATEST)
    late = await resend(office, li, record, refusal)
    assert (late.outcome, late.code) == (Outcome.REFUSED, "refusal_closed")
    assert (await office.fields(record))["inspections"] == 2


@pytest.mark.parametrize("how", ["applied", "sent again"])
async def test_what_came_too_late_takes_no_effect_later(office: Office, how: str) -> None:
    """A correction that was refused because its refusal was settled is neither applied nor sent again."""
    li = inspector("li")
    record, refusal = await refused(office, li)
    await office.write(supervisor(), "refusal", refusal, {"state": "applied"}, base=LATEST)
    late = (await resend(office, li, record, refusal)).attention
    assert late
    if how == "applied":
        again = await office.write(supervisor(), "refusal", late, {"state": "applied"}, base=LATEST)
    else:
        again = await resend(office, li, record, late)
    assert (again.outcome, again.code) == (Outcome.REFUSED, "refusal_closed")
    assert (await office.fields(record))["inspections"] == 2


async def test_a_correction_of_a_correction_overwrites_nothing_unseen(office: Office) -> None:
    """What was set before the first refusal is judged by what was seen then, however often it is corrected."""
    li, wang, record = inspector("li"), inspector("wang"), new_id()
    seen = (await office.write(supervisor(), "component", record, component(condition="good"))).version
    wrong = {"condition": "damaged", "responsible": "x"}
    first = (await office.write(li, "component", record, wrong, base=seen)).attention
    stands = (await office.write(wang, "component", record, {"condition": "missing"}, base=seen)).version
    second = (await office.write(li, "component", record, wrong, base=stands, settles=first)).attention
    last = await office.write(li, "component", record, {"condition": "damaged"}, base=stands, settles=second)
    assert last.outcome is Outcome.CONFLICT
    assert (await office.fields(record))["condition"] == "missing"


async def test_a_deletion_sent_again_deletes_nothing_unseen(office: Office) -> None:
    """A refused deletion is judged by what its author had seen when it was refused."""
    record, lost = new_id(), msgspec.structs.replace(supervisor(), revoked=True)
    seen = (await office.write(supervisor(), "component", record, component())).version
    refusal = (await office.write(lost, "component", record, {}, base=seen, delete=True)).attention
    stands = (await office.write(inspector("wang"), "component", record, {"condition": "worn"}, base=seen)).version
    found = msgspec.structs.replace(supervisor(), user=lost.user)
    again = await office.write(found, "component", record, {}, base=stands, delete=True, settles=refusal)
    assert (again.outcome, again.code) == (Outcome.REFUSED, "record_changed")


async def test_applied_after_it_was_resent(office: Office) -> None:
    """A refusal that its author has settled by a correction cannot be applied any more."""
    li = inspector("li")
    record, refusal = await refused(office, li)
    await resend(office, li, record, refusal)
    late = await office.write(supervisor(), "refusal", refusal, {"state": "applied"}, base=LATEST)
    assert late.code == "transition_illegal"
    assert (await office.fields(record))["inspections"] == 2


async def test_a_correction_that_is_refused_too(office: Office) -> None:
    """One refusal is open after a correction that was no better: the new one."""
    li = inspector("li")
    record, refusal = await refused(office, li)
    again = await office.write(li, "component", record, {"responsible": "y"}, base=LATEST, settles=refusal)
    assert again.code == "field_denied"
    assert again.attention
    assert [(await office.fields(one))["state"] for one in (refusal, again.attention)] == ["resent", "open"]


@pytest.mark.parametrize("whose", ["stranger", "other record", "no refusal"])
async def test_only_the_own_refusal_is_settled(office: Office, whose: str) -> None:
    """A change cannot close a refusal that does not concern its author or its record, nor learn of one."""
    li = inspector("li")
    record, refusal = await refused(office, li)
    here = new_id()
    author = inspector("wu", "grid:440304002") if whose == "stranger" else li
    fields = component(grid="440304002001001") if whose == "stranger" else component()
    named = new_id() if whose == "no refusal" else refusal
    target = record if whose == "no refusal" else here
    verdict = await office.write(author, "component", target, fields, settles=named)
    assert verdict.code == "record_unknown"
    assert (await office.fields(refusal))["state"] == "open"


@pytest.mark.parametrize("kind", ["conflict", "refusal"])
async def test_what_settles_work_that_is_not_there(office: Office, kind: str) -> None:
    """Settling a conflict or refusal that the server does not have (any more) says that it is unknown, whatever id
    the server had given it."""
    verdict = await office.write(inspector("li"), kind, uuid.uuid4(), {"state": "dismissed"}, base=7)
    assert verdict.code == "record_unknown"


async def test_a_lost_device_settles_nothing(office: Office) -> None:
    """The correction of a revoked device is kept apart, and the refusal it names stays open."""
    li = inspector("li")
    record, refusal = await refused(office, li)
    lost = Actor(li.user, li.device, li.grants, revoked=True)
    assert (await resend(office, lost, record, refusal)).code == "device_quarantined"
    assert (await office.fields(refusal))["state"] == "open"


async def test_consequences_name_the_device(office: Office) -> None:
    """What follows from a supervisor's decision is logged as made by that supervisor, on that device, number 0."""
    li, sup = inspector("li"), supervisor()
    record, refusal = await refused(office, li)
    await office.write(sup, "refusal", refusal, {"state": "applied"}, base=LATEST)
    async with office.store.reading() as tx:
        made = (await tx.history(record))[-1]
    assert (made.user, made.device, made.seq) == ("sup", sup.device, 0)


async def told(office: Office, reader: Actor, record: uuid.UUID) -> list[tuple[str, str | None]]:
    async with office.store.reading() as tx:
        answer = await history(tx, REGISTRY, reader, record, office.now)
    return [(entry.user, entry.code) for entry in answer.entries]


async def test_history_of_a_refused_creation(office: Office) -> None:
    """Whom the refusal of a creation concerns can read the history of the record that never was; others cannot."""
    li, record = inspector("li"), new_id()
    await office.write(li, "component", record, component(responsible="x"))
    assert await told(office, li, record) == await told(office, supervisor(), record) == [("li", "field_denied")]
    with pytest.raises(SyncError, match="there is no record"):
        await told(office, inspector("wu", "grid:440304002"), record)


async def test_history_of_a_foreign_record(office: Office) -> None:
    """An outsider who tried to change a record reads of the own attempts alone."""
    wu, record = inspector("wu", "grid:440304002"), new_id()
    await office.write(supervisor(), "component", record, component())
    await office.write(inspector("li"), "component", record, {"responsible": "x"}, base=LATEST)
    await office.write(wu, "component", record, {"remark": "x"}, base=LATEST)
    assert await told(office, wu, record) == [("wu", "scope_denied")]
