"""Cases: departments and participants receive theirs, and each step is for those the table names."""

import uuid

import pytest

from field_schemas.access import Role
from sync.authority import Actor
from sync.messages import Outcome
from tests.unit.builders import GRID, Office, actor, new_id, supervisor

LATEST = 10**6


@pytest.fixture
def office() -> Office:
    return Office()


async def filed(office: Office, number: str, department: str) -> uuid.UUID:
    """A case for a department."""
    record = new_id()
    fields = {"number": number, "subject": "暴露垃圾", "kind": "0102", "grid": GRID, "department": department}
    verdict = await office.write(supervisor(), "case", record, fields)
    assert verdict.outcome is Outcome.APPLIED, verdict.detail
    return record


async def noted(office: Office, author: Actor, number: str) -> uuid.UUID:
    record = new_id()
    verdict = await office.write(author, "case_note", record, {"case": number, "text": "现场已拍照"})
    assert verdict.outcome is Outcome.APPLIED, verdict.detail
    return record


async def seen(office: Office, reader: Actor) -> set[uuid.UUID]:
    return {record.id for record in (await office.read(reader)).records}


async def test_everybody_receives_theirs(office: Office) -> None:
    """A department's officer receives its cases, a participant one case with its notes, and nobody the others'."""
    first, second = await filed(office, "FT-2026-1", "cg"), await filed(office, "FT-2026-2", "hw")
    officer = actor("zhao", ("dept:cg", Role.OFFICER))
    member = actor("wu", ("case:FT-2026-2", Role.STEWARD))
    note = await noted(office, member, "FT-2026-2")
    assert await seen(office, officer) == {first}
    assert await seen(office, member) == {second, note}
    assert await seen(office, actor("qian", ("dept:jt", Role.OFFICER), ("case:FT-2026-3", Role.OFFICER))) == set()


async def test_a_case_given_to_another_department(office: Office) -> None:
    """A case that is given to another department leaves the devices of the first and reaches those of the second."""
    case = await filed(office, "FT-2026-1", "cg")
    first, second = actor("zhao", ("dept:cg", Role.OFFICER)), actor("qian", ("dept:hw", Role.OFFICER))
    cursor = (await office.read(first)).cursor
    await office.write(supervisor(), "case", case, {"department": "hw"}, base=LATEST)
    assert (await office.read(first, cursor)).forget == [case]
    assert await seen(office, second) == {case}


async def test_notes_are_for_participants(office: Office) -> None:
    """Who has no grant on a case cannot write in it."""
    await filed(office, "FT-2026-1", "cg")
    officer = actor("zhao", ("dept:cg", Role.OFFICER))
    verdict = await office.write(officer, "case_note", new_id(), {"case": "FT-2026-1", "text": "x"})
    assert (verdict.outcome, verdict.code) == (Outcome.REFUSED, "scope_denied")


async def test_the_seven_steps(office: Office) -> None:
    """A case goes from collection to evaluation by those whose step it is, redone once on the way."""
    case = await filed(office, "FT-2026-1", "cg")
    boss, officer = supervisor(), actor("zhao", ("dept:cg", Role.OFFICER))
    checker = actor("li", ("grid:440304001", Role.INSPECTOR))
    steps = [
        *((boss, "filed"), (boss, "dispatched"), (officer, "handling"), (officer, "fed_back")),
        *((checker, "handling"), (officer, "fed_back"), (checker, "closed"), (boss, "evaluated")),
    ]
    for author, state in steps:
        verdict = await office.write(author, "case", case, {"state": state}, base=LATEST)
        assert verdict.outcome is Outcome.APPLIED, state


async def test_who_handles_does_not_close(office: Office) -> None:
    """The officer who handled a case cannot close it, nor file it."""
    case = await filed(office, "FT-2026-1", "cg")
    officer = actor("zhao", ("dept:cg", Role.OFFICER))
    verdict = await office.write(officer, "case", case, {"state": "filed"}, base=LATEST)
    assert verdict.code == "transition_illegal"
    for state in ("filed", "dispatched", "handling", "fed_back"):
        await office.write(supervisor(), "case", case, {"state": state}, base=LATEST)
    verdict = await office.write(officer, "case", case, {"state": "closed"}, base=LATEST)
    assert verdict.code == "transition_illegal"
