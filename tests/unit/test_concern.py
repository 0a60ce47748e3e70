"""Whom conflicts and refusals concern: those who may read their record where it lies, and who may deal with them."""

import uuid

import pytest

from field_schemas.access import Grant, Role
from sync.authority import SERVER, Actor
from sync.messages import Outcome, PushResponse
from tests.unit.builders import GRID, STREET, Office, actor, component, inspector, new_id, supervisor

LATEST = 10**6
ELSEWHERE = "440304002001001"
NEXT_STREET = "grid:440304002"


@pytest.fixture
def office() -> Office:
    return Office()


def boss_of(user: str, street: str) -> Actor:
    return actor(user, (street, Role.SUPERVISOR))


async def disputed(office: Office, li: Actor, wang: Actor) -> tuple[uuid.UUID, uuid.UUID]:
    """A component whose condition li and wang set at once, and the conflict about it: li's value stands."""
    record = new_id()
    seen = (await office.write(supervisor(), "component", record, component())).version
    await office.write(li, "component", record, {"condition": "worn"}, base=seen)
    verdict = await office.write(wang, "component", record, {"condition": "damaged"}, base=seen)
    assert verdict.attention
    return record, verdict.attention


async def sees(office: Office, reader: Actor, item: uuid.UUID) -> bool:
    return item in {record.id for record in (await office.read(reader)).records}


async def move(office: Office, record: uuid.UUID, grid: str = ELSEWHERE) -> None:
    moved = await office.write(supervisor(), "component", record, {"grid": grid}, base=LATEST)
    assert moved.outcome is Outcome.APPLIED


async def test_a_conflict_concerns_both_sides(office: Office) -> None:
    """Who wrote the value that stands sees the conflict as well as who offered the other one."""
    li, wang = inspector("li"), inspector("wang")
    _, conflict = await disputed(office, li, wang)
    assert [await sees(office, one, conflict) for one in (li, wang, inspector("wu"))] == [True, True, False]


async def test_a_conflict_is_not_shown_to_a_writer_who_has_left(office: Office) -> None:
    """Who may not read the record any more does not learn of a conflict about a value written before."""
    li, wang = inspector("li"), inspector("wang")
    record = new_id()
    seen = (await office.write(supervisor(), "component", record, component())).version
    await office.write(li, "component", record, {"condition": "worn"}, base=seen)
    left = Actor("li", li.device, ())
    await office.submit(left)
    verdict = await office.write(wang, "component", record, {"condition": "damaged"}, base=seen)
    assert verdict.attention
    assert (await office.fields(verdict.attention))["concerns"] == [f"grid:{GRID}", "person:wang"]


@pytest.mark.parametrize("stays", [True, False])
async def test_a_conflict_is_shown_to_an_owner_who_may_read_the_record(office: Office, stays: bool) -> None:
    """Whose record it is learns of a conflict about it, unless the record itself is not for that person any more."""
    li, record = inspector("li"), new_id()
    fields = {"kind": "0102", "grid": GRID, "text": "暴露垃圾"}
    seen = (await office.write(li, "finding", record, fields)).version
    await office.submit(li if stays else Actor("li", li.device, ()))
    await office.write(supervisor(), "finding", record, {"text": "主管"}, base=seen)
    verdict = await office.write(inspector("wang"), "finding", record, {"text": "王"}, base=seen)
    assert verdict.attention
    concerns = (await office.fields(verdict.attention))["concerns"]
    assert ("person:li" in concerns, f"grid:{GRID}" in concerns, "person:wang" in concerns) == (stays, True, True)


async def test_a_conflict_is_not_shown_to_an_author_who_has_left(office: Office) -> None:
    """Whose change arrives when the grant it was made by is over does not learn what was written after that."""
    wang = Actor("wang", new_id(), (Grant(f"grid:{STREET}", Role.INSPECTOR, 0, office.now + 5_000),))
    record = new_id()
    seen = (await office.write(supervisor(), "component", record, component())).version
    late = office.change(wang, "component", record, {"condition": "damaged"}, base=seen)
    office.now += 60_000
    await office.write(inspector("li"), "component", record, {"condition": "worn"}, base=seen)
    answer = await office.submit(wang, late)
    assert isinstance(answer, PushResponse)
    (verdict,) = answer.verdicts
    assert (verdict.outcome, (await office.read(wang)).records) == (Outcome.CONFLICT, [])
    async with office.store.reading() as tx:
        conflict = (await tx.history(record))[-1].attention
    assert conflict
    assert (await office.fields(conflict))["concerns"] == [f"grid:{GRID}", "person:li"]


async def test_a_conflict_follows_its_record(office: Office) -> None:
    """The conflict about a record that moves goes to the supervisors of its new street, and leaves all others."""
    li, wang = inspector("li"), actor("wang", (f"grid:{STREET}", Role.INSPECTOR), (NEXT_STREET, Role.INSPECTOR))
    here, there = boss_of("he", f"grid:{STREET}"), boss_of("zhao", NEXT_STREET)
    record, conflict = await disputed(office, li, wang)
    cursors = {one.user: (await office.read(one)).cursor for one in (li, here)}
    assert await sees(office, here, conflict)
    await move(office, record)
    told = [await sees(office, one, conflict) for one in (li, wang, here, there)]
    assert told == [False, True, False, True]
    for one in (li, here):
        assert conflict in (await office.read(one, cursors[one.user])).forget


async def test_the_new_supervisor_resolves(office: Office) -> None:
    """Whoever supervises the street a record moved to can settle the conflict about it."""
    record, conflict = await disputed(office, inspector("li"), inspector("wang"))
    await move(office, record)
    choice = {"resolution": {"condition": "damaged"}, "state": "resolved"}
    verdict = await office.write(boss_of("zhao", NEXT_STREET), "conflict", conflict, choice, base=LATEST)
    assert verdict.outcome is Outcome.APPLIED
    assert (await office.fields(record))["condition"] == "damaged"


async def test_a_refusal_follows_its_record(office: Office) -> None:
    """A refusal goes with its record to the new street's supervisors while its author may read the record there."""
    wang = actor("wang", (f"grid:{STREET}", Role.INSPECTOR), (NEXT_STREET, Role.INSPECTOR))
    record = new_id()
    await office.write(supervisor(), "component", record, component())
    refusal = (await office.write(wang, "component", record, {"responsible": "x"}, base=LATEST)).attention
    assert refusal
    await move(office, record)
    here, there = boss_of("he", f"grid:{STREET}"), boss_of("zhao", NEXT_STREET)
    assert [await sees(office, one, refusal) for one in (wang, here, there)] == [True, False, True]


async def test_a_refusal_does_not_tell_where_a_record_went(office: Office) -> None:
    """An author who may not read the record where it lies now keeps the refusal, and learns nothing of the place."""
    li, record = inspector("li"), new_id()
    await office.write(supervisor(), "component", record, component())
    refusal = (await office.write(li, "component", record, {"responsible": "x"}, base=LATEST)).attention
    assert refusal
    await move(office, record)
    assert await sees(office, li, refusal)
    assert (await office.fields(refusal))["concerns"] == [f"grid:{STREET}", "person:li"]


async def test_a_refusal_concerns_nobody_who_merely_has_the_record(office: Office) -> None:
    """A refusal that goes with its record to another street is not shown to whom the record is of."""
    li = actor("li", (f"grid:{STREET}", Role.INSPECTOR), (NEXT_STREET, Role.INSPECTOR))
    record = new_id()
    await office.write(inspector("chen"), "finding", record, {"grid": GRID, "kind": "0102", "text": "x"})
    late = {"due_at": "2026-11-20T08:00:00Z"}
    refusal = (await office.write(li, "finding", record, late, base=LATEST)).attention
    assert refusal
    assert (await office.fields(refusal))["concerns"] == [f"grid:{GRID}", "person:li"]
    moved = await office.write(supervisor(), "finding", record, {"grid": ELSEWHERE}, base=LATEST)
    assert moved.outcome is Outcome.APPLIED
    assert (await office.fields(refusal))["concerns"] == [f"grid:{ELSEWHERE}", "person:li"]


@pytest.mark.parametrize("grid", [GRID, ELSEWHERE])
async def test_a_conflict_about_what_is_the_servers_concerns_people(office: Office, grid: str) -> None:
    """The server's own user is nobody whom a conflict about its record, moved or not, concerns."""
    both = (f"grid:{STREET}", Role.INSPECTOR), (NEXT_STREET, Role.INSPECTOR)
    li, wang, record = actor("li", *both), actor("wang", *both), new_id()
    seen = (await office.write(SERVER, "finding", record, {"grid": GRID, "kind": "0102", "text": "x"})).version
    await office.write(li, "finding", record, {"text": "y"}, base=seen)
    conflict = (await office.write(wang, "finding", record, {"text": "z"}, base=seen)).attention
    assert conflict
    await office.write(supervisor(), "finding", record, {"grid": grid}, base=LATEST)
    assert (await office.fields(conflict))["concerns"] == [f"grid:{grid}", "person:li", "person:wang"]


async def test_what_moves_its_record_stays(office: Office) -> None:
    """A refusal that is applied and so moves its record is closed where it was, by the last of its changes."""
    li, record = inspector("li"), new_id()
    await office.write(supervisor(), "component", record, component())
    fields = {"grid": ELSEWHERE, "responsible": "x"}
    refusal = (await office.write(li, "component", record, fields, base=LATEST)).attention
    assert refusal
    verdict = await office.write(supervisor(), "refusal", refusal, {"state": "applied"}, base=LATEST)
    assert (await office.fields(record))["grid"] == ELSEWHERE
    assert (await office.fields(refusal))["concerns"] == [f"grid:{GRID}", "person:li"]
    async with office.store.reading() as tx:
        versions = [change.version for change in await tx.history(refusal)]
    assert max(versions) == verdict.version


async def test_what_is_closed_stays(office: Office) -> None:
    """A refusal that was dealt with before the record moved is not shown to the new street."""
    li, record = inspector("li"), new_id()
    await office.write(supervisor(), "component", record, component())
    refusal = (await office.write(li, "component", record, {"responsible": "x"}, base=LATEST)).attention
    assert refusal
    await office.write(li, "refusal", refusal, {"state": "dismissed"}, base=LATEST)
    await move(office, record)
    assert not await sees(office, boss_of("zhao", NEXT_STREET), refusal)


@pytest.mark.parametrize(
    ("scope", "role", "code"),
    [
        (f"grid:{STREET}", Role.SUPERVISOR, None),
        (NEXT_STREET, Role.SUPERVISOR, "assignee_denied"),
        (f"grid:{STREET}", Role.INSPECTOR, "assignee_denied"),
    ],
)
async def test_only_who_may_settle_is_assigned(office: Office, scope: str, role: Role, code: str | None) -> None:
    """A conflict is given to those who have authority over it; to others it is refused, and says so."""
    _, conflict = await disputed(office, inspector("li"), inspector("wang"))
    await office.submit(actor("zhao", (scope, role)))
    verdict = await office.write(supervisor(), "conflict", conflict, {"assignee": "zhao"}, base=LATEST)
    assert verdict.code == code


async def test_a_refusal_is_given_back_to_its_author(office: Office) -> None:
    """The author of a refused change can be assigned its refusal, somebody without authority over it cannot."""
    li, record = inspector("li"), new_id()
    await office.write(supervisor(), "component", record, component())
    refusal = (await office.write(li, "component", record, {"responsible": "x"}, base=LATEST)).attention
    assert refusal
    await office.submit(inspector("wang"))
    codes = [
        (await office.write(supervisor(), "refusal", refusal, {"assignee": user}, base=LATEST)).code
        for user in ("li", "wang", "nobody")
    ]
    assert codes == [None, "assignee_denied", "assignee_denied"]


@pytest.mark.parametrize(("scope", "assignee"), [(f"grid:{STREET}", None), ("grid:440304", "he")])
async def test_an_item_is_not_left_with_whom_it_leaves(office: Office, scope: str, assignee: str | None) -> None:
    """A conflict or refusal that moves with its record stays with its assignee only if still able to close it."""
    li, he = inspector("li"), boss_of("he", scope)
    await office.submit(he)
    record, conflict = await disputed(office, li, inspector("wang"))
    refusal = (await office.write(li, "component", record, {"responsible": "x"}, base=LATEST)).attention
    assert refusal
    for kind, item in (("conflict", conflict), ("refusal", refusal)):
        given = await office.write(supervisor(), kind, item, {"assignee": "he"}, base=LATEST)
        assert given.outcome is Outcome.APPLIED
    li = actor("li", (f"grid:{STREET}", Role.INSPECTOR), (NEXT_STREET, Role.INSPECTOR), device=li.device)
    await office.submit(li)
    await move(office, record)
    for item in (conflict, refusal):
        assert (await office.fields(item)).get("assignee") == assignee
        assert await sees(office, he, item) == (assignee is not None)


async def test_a_deletion_closes_what_is_open_about_its_record(office: Office) -> None:
    """With its record a conflict and a refusal are done with: closed by the server, with all that they said."""
    li = inspector("li")
    record, conflict = await disputed(office, li, inspector("wang"))
    refusal = (await office.write(li, "component", record, {"responsible": "x"}, base=LATEST)).attention
    assert refusal
    deleted = await office.write(supervisor(), "component", record, {}, base=LATEST, delete=True)
    assert deleted.outcome is Outcome.APPLIED
    settled, dismissed = await office.fields(conflict), await office.fields(refusal)
    assert (settled["state"], "resolution" in settled, dismissed["state"]) == ("resolved", False, "dismissed")
    assert dismissed["refused"] == {"responsible": "x"}
    async with office.store.reading() as tx:
        assert [(await tx.history(one))[-1].user for one in (conflict, refusal)] == [SERVER.user] * 2


async def test_an_applied_deletion_closes_the_rest(office: Office) -> None:
    """A refused deletion that a supervisor applies is `applied`, and what else was open about the record closed."""
    li = inspector("li")
    record, conflict = await disputed(office, li, inspector("wang"))
    refusal = (await office.write(li, "component", record, {}, base=LATEST, delete=True)).attention
    assert refusal
    done = await office.write(supervisor(), "refusal", refusal, {"state": "applied"}, base=LATEST)
    assert done.outcome is Outcome.APPLIED
    states = [(await office.fields(one))["state"] for one in (conflict, refusal)]
    assert states == ["resolved", "applied"]


async def found_elsewhere(office: Office) -> uuid.UUID:
    """A finding that chen, supervisor of one street, made there, and that lies in another by now."""
    record = new_id()
    chen = boss_of("chen", f"grid:{STREET}")
    await office.write(chen, "finding", record, {"grid": GRID, "kind": "0102", "text": "x"})
    await office.write(supervisor(), "finding", record, {"grid": ELSEWHERE}, base=LATEST)
    return record


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"text": "盖板破损"}, None),
        ({"state": "withdrawn"}, None),
        ({"state": "accepted"}, "transition_illegal"),
        ({"due_at": "2026-11-20T08:00:00Z"}, "field_denied"),
    ],
)
async def test_power_over_others_ends_with_the_area(
    office: Office, fields: dict[str, object], code: str | None
) -> None:
    """A supervisor of another street works on the own finding as an inspector does, and does not accept it."""
    record = await found_elsewhere(office)
    verdict = await office.write(boss_of("chen", f"grid:{STREET}"), "finding", record, fields, base=LATEST)
    assert verdict.code == code


async def test_an_author_who_has_left_is_not_referred_to_the_conflict(office: Office) -> None:
    """Whose change of then meets a conflict, and who may not read the record by now, is told of the conflict without
    an item that would never come; the supervisor has it, and the same is said when the change is sent again."""
    li, wang, record = inspector("li"), inspector("wang"), new_id()
    seen = (await office.write(supervisor(), "component", record, component())).version
    await office.write(wang, "component", record, {"condition": "worn"}, base=seen)
    early = office.change(li, "component", record, {"condition": "damaged"}, base=seen)
    office.now += 60_000
    moved = Grant(f"grid:{STREET}", Role.INSPECTOR, valid_until=office.now - 1_000)
    left = Actor("li", li.device, (moved, Grant(NEXT_STREET, Role.INSPECTOR)))
    for _ in range(2):
        answer = await office.submit(left, early)
        assert isinstance(answer, PushResponse)
        assert (answer.verdicts[0].outcome, answer.verdicts[0].attention) == (Outcome.CONFLICT, None)
    shown = {one.type for one in (await office.read(supervisor())).records}
    assert "conflict" in shown


@pytest.mark.parametrize(
    ("user", "grants", "code"),
    [
        ("wu", [Grant(f"grid:{STREET}", Role.INSPECTOR)], None),
        ("wu", [Grant(NEXT_STREET, Role.INSPECTOR)], None),
        ("wu", [Grant(f"grid:{STREET}", Role.INSPECTOR, 2**42)], None),
        ("wu", [Grant(f"grid:{STREET}", Role.INSPECTOR, 0, 1)], "assignee_denied"),
        ("wu", [Grant(f"grid:{STREET}", Role.CITIZEN)], "assignee_denied"),
        ("wu", [], "assignee_denied"),
    ],
    ids=["of the street", "of another street", "from tomorrow", "of before", "a citizen", "nobody"],
)
@pytest.mark.parametrize("is_new", [True, False])
async def test_a_task_is_given_to_who_can_work_on_it(
    office: Office, user: str, grants: list[Grant], code: str | None, is_new: bool
) -> None:
    """A patrol task is given only to who may do it, now or by a grant to come; else it is refused."""
    boss, task = supervisor(), new_id()
    await office.submit(Actor(user, new_id(), tuple(grants)))
    fields = {"subject": "检查井盖", "grid": GRID}
    if not is_new:
        await office.write(boss, "patrol_task", task, fields)
    given = {"assignee": user} | (fields if is_new else {})
    assert (await office.write(boss, "patrol_task", task, given, base=0 if is_new else LATEST)).code == code


async def test_work_on_a_task_whose_assignee_has_left(office: Office) -> None:
    """A task whose assignee lost the grant is worked on and finished as before: only giving is checked."""
    li, boss, task = inspector("li"), supervisor(), new_id()
    await office.submit(li)
    made = await office.write(boss, "patrol_task", task, {"subject": "x", "grid": GRID, "assignee": "li"})
    await office.submit(Actor("li", li.device, ()))
    wang = inspector("wang")
    started = await office.write(wang, "patrol_task", task, {"state": "started"}, base=made.version)
    assert started.outcome is Outcome.APPLIED
