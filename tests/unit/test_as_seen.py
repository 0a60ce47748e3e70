"""Changes of records that others have moved meanwhile: permitted by where their author saw the record."""

import uuid

import msgspec
import pytest

from field_schemas.access import Role
from sync.authority import Actor
from sync.clock import DAY_MS
from sync.messages import Outcome, Verdict
from tests.unit.builders import GRID, Office, actor, component, inspector, new_id, supervisor

NEXT_STREET = "440304002"
ELSEWHERE = NEXT_STREET + "001001"


@pytest.fixture
def office() -> Office:
    return Office()


async def made(office: Office, author: Actor) -> tuple[uuid.UUID, int]:
    """A component in the author's street, and its version."""
    record = new_id()
    verdict = await office.write(author, "component", record, component())
    return record, verdict.version


async def moved(office: Office, record: uuid.UUID, base: int, grid: str = ELSEWHERE) -> int:
    """The version by which a supervisor moved the record."""
    verdict = await office.write(supervisor(), "component", record, {"grid": grid}, base=base)
    assert verdict.outcome is Outcome.APPLIED
    return verdict.version


async def edit(office: Office, author: Actor, record: uuid.UUID, base: int, **fields: object) -> Verdict:
    """The verdict on the author's change of a component."""
    return await office.write(author, "component", record, fields or {"remark": "已核实"}, base=base)


async def test_moved_away_before_the_change_arrives(office: Office) -> None:
    """Work on a record that lay in the own area when its author saw it counts, wherever it has been moved since."""
    li = inspector("li")
    record, version = await made(office, li)
    await moved(office, record, version)
    verdict = await edit(office, inspector("wang"), record, version)
    assert (verdict.outcome, verdict.code) == (Outcome.APPLIED, None)
    assert (await office.fields(record))["remark"] == "已核实"
    assert (await office.fields(record))["grid"] == ELSEWHERE


async def test_moved_twice(office: Office) -> None:
    """However often it was moved, the place its author saw counts, and none between."""
    record, version = await made(office, inspector("li"))
    between = await moved(office, record, version)
    await moved(office, record, between, "440304003001001")
    there = inspector("zhao", f"grid:{NEXT_STREET}")
    assert (await edit(office, inspector("wang"), record, version)).outcome is Outcome.APPLIED
    assert (await edit(office, there, record, between)).outcome is Outcome.APPLIED
    assert (await edit(office, there, record, version)).code == "scope_denied"


async def test_much_happened_since(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a record of which more was missed than is looked through, the change goes by where it lies."""
    monkeypatch.setattr("sync.as_seen.LOOKED_BACK", 5)
    record, version = await made(office, inspector("li"))
    base = await moved(office, record, version)
    for _ in range(3):
        base = (await edit(office, supervisor(), record, base)).version
    assert (await edit(office, inspector("wang"), record, version)).outcome is Outcome.APPLIED
    for _ in range(3):
        base = (await edit(office, supervisor(), record, base)).version
    assert (await edit(office, inspector("wu"), record, version)).code == "scope_denied"


async def test_seen_where_it_lies_now(office: Office) -> None:
    """Who claims to have seen the record where it is now has no power over it by where it was."""
    record, version = await made(office, inspector("li"))
    after = await moved(office, record, version)
    assert (await edit(office, inspector("wang"), record, after)).code == "scope_denied"


async def test_told_of_the_move(office: Office) -> None:
    """A device that has sent everything since the move knew of it, whatever its change says it is based on."""
    li = inspector("li")
    record, version = await made(office, li)
    await moved(office, record, version)
    office.now += 1
    told = msgspec.structs.replace(inspector("wang"), sent_all_ms=office.now)
    assert (await edit(office, told, record, version)).code == "scope_denied"


async def test_moved_long_ago(office: Office) -> None:
    """Whoever has not heard of a move for as long as work may wait on a phone counts as told of it."""
    record, version = await made(office, inspector("li"))
    await moved(office, record, version)
    office.now += 31 * DAY_MS
    assert (await edit(office, inspector("wang"), record, version)).code == "scope_denied"


async def test_fields_by_the_roles_of_before(office: Office) -> None:
    """Which fields may be written goes by the roles held where the record was seen, too."""
    record, version = await made(office, inspector("li"))
    await moved(office, record, version)
    author = actor("sun", ("grid:440304001", Role.SUPERVISOR), (f"grid:{NEXT_STREET}", Role.INSPECTOR))
    assert (await edit(office, author, record, version, responsible="水务")).outcome is Outcome.APPLIED
    assert (await edit(office, author, record, 2**40, responsible="城管")).code == "field_denied"


async def test_moved_by_the_author_first(office: Office) -> None:
    """An own move is known: it is where others have moved the record from there that does not count."""
    both = actor("sun", ("grid:440304001", Role.INSPECTOR), (f"grid:{NEXT_STREET}", Role.INSPECTOR))
    record, version = await made(office, both)
    own = await edit(office, both, record, version, grid=ELSEWHERE)
    await moved(office, record, own.version, "440304003001001")
    assert (await edit(office, both, record, version)).outcome is Outcome.APPLIED
    # As its author saw it, the record was not in the first street any more.
    first_only = msgspec.structs.replace(inspector("sun"), device=both.device)
    assert (await edit(office, first_only, record, version)).code == "scope_denied"


async def test_deletions_go_by_where_it_lies(office: Office) -> None:
    """Nobody deletes what lies outside the own area by now."""
    record, version = await made(office, inspector("li"))
    await moved(office, record, version)
    street = supervisor("zhou", "grid:440304001")
    verdict = await office.write(street, "component", record, {}, base=version, delete=True)
    assert verdict.code == "scope_denied"


async def test_its_grid_may_be_corrected_only_to_where_the_author_may_put_it(office: Office) -> None:
    """The place that was seen gives no power over other places."""
    record, version = await made(office, inspector("li"))
    await moved(office, record, version)
    wang = inspector("wang")
    assert (await edit(office, wang, record, version, grid="440304003001001")).code == "scope_denied"
    assert (await edit(office, wang, record, version, grid=GRID)).outcome is not Outcome.REFUSED
