"""A server that is updated, rolled back, or beside an older one: what is stored is read in the form of now."""

import uuid
from typing import Annotated, Any

import msgspec
import pytest

from field_schemas.access import FIELD_WORKERS, SUPERVISION, Access
from field_schemas.record import Field, FieldError, Record, record_type
from field_schemas.scopes import in_grid
from server.exporting.rows import exported_rows
from sync.errors import SyncError
from sync.forms import change_now, record_now
from sync.history import history
from sync.memory import MemoryStore
from sync.merge import Mark
from sync.messages import DigestRequest, FetchRequest, HistoryResponse, Outcome, PushResponse
from sync.verify import digest, fetch
from tests.unit.builders import GRID, REGISTRY, STREET, Office, inspector, new_id, supervisor
from tests.unit.versioned_lamps import PROGRAMS

OLD = {"area": GRID, "text": "路灯", "height_cm": 310, "labels": {"add": ["a", "b"]}}
NEW = {"grid": GRID, "title": "路灯", "height_mm": 3100, "tags": ["a", "b"]}
LI, WANG, SUP = inspector("li"), inspector("wang"), supervisor()


@pytest.fixture
def office() -> Office:
    """An office whose server runs the first program."""
    return Office(registry=PROGRAMS[1])


def state(office: Office) -> MemoryStore:
    assert isinstance(office.store, MemoryStore)
    return office.store


async def made(office: Office, **more: Any) -> tuple[uuid.UUID, int]:
    """A lamp that the first program stored, and its version."""
    record = new_id()
    verdict = await office.write(LI, "lamp", record, OLD | more)
    assert verdict.outcome is Outcome.APPLIED
    return record, verdict.version


async def shown(office: Office, record: uuid.UUID, types: dict[str, int] | None = None) -> dict[str, Any]:
    """What Li's program receives."""
    page = await office.read(LI, types=types)
    (fields,) = [one.fields for one in page.records if one.id == record]
    return msgspec.msgpack.decode(fields, type=dict[str, Any])


async def told(office: Office, record: uuid.UUID) -> HistoryResponse:
    async with office.store.reading() as tx:
        return await history(tx, office.registry, SUP, record, office.now)


async def test_what_is_stored_is_read_as_the_server_knows_it_now(office: Office) -> None:
    """After an update with new names and another unit, old records are pulled, fetched, exported in the new form."""
    record, _ = await made(office)
    office.registry = PROGRAMS[2]
    assert await shown(office, record) == NEW
    async with office.store.reading() as tx:
        found = await fetch(tx, office.registry, LI, FetchRequest([record]), office.now)
        rows = [row async for row in exported_rows(tx, office.registry.get("lamp"), None, None)]
    assert msgspec.msgpack.decode(found.records[0].fields) == NEW
    assert [row.fields["height_mm"] for row in rows] == [3100]


async def test_an_older_program_still_reads_its_own_form(office: Office) -> None:
    """A phone that was not updated with the server receives old records as they were."""
    record, _ = await made(office)
    office.registry = PROGRAMS[2]
    assert await shown(office, record, {"lamp": 1}) == OLD | {"labels": ["a", "b"]}


async def test_a_write_brings_the_record_to_the_present_form(office: Office) -> None:
    """The first write after an update stores the whole record in the new form, even one that sets nothing."""
    record, seen = await made(office)
    office.registry = PROGRAMS[2]
    await office.write(LI, "lamp", record, {}, base=seen, type_version=2)
    stored = state(office).state.records[record]
    assert (stored.type_version, msgspec.msgpack.decode(stored.fields)) == (2, NEW)


async def test_reading_writes_nothing(office: Office) -> None:
    """No table is rewritten for the sake of an update."""
    await made(office)
    before = state(office).state
    office.registry = PROGRAMS[2]
    await office.read(LI)
    assert state(office).state is before


async def test_a_renamed_field_keeps_who_wrote_it(office: Office) -> None:
    """A write that has not seen the one under the old name is concurrent with it."""
    record, seen = await made(office)
    await office.write(LI, "lamp", record, {"text": "甲"}, base=seen)
    office.registry = PROGRAMS[2]
    verdict = await office.write(WANG, "lamp", record, {"title": "乙"}, base=seen, type_version=2)
    assert verdict.outcome is Outcome.CONFLICT
    assert (await shown(office, record))["title"] == "甲"


async def test_a_renamed_set_keeps_its_elements(office: Office) -> None:
    """An element that was added under the old name is removed by who has seen it."""
    record, seen = await made(office)
    office.registry = PROGRAMS[2]
    await office.write(LI, "lamp", record, {"tags": {"remove": ["a"]}}, base=seen, type_version=2)
    assert (await shown(office, record))["tags"] == ["b"]


async def test_a_conflict_shows_the_base_in_the_present_form(office: Office) -> None:
    """The value both sides started from is found in the log, whatever it was called then."""
    record, seen = await made(office)
    await office.write(LI, "lamp", record, {"text": "甲"}, base=seen)
    office.registry = PROGRAMS[2]
    verdict = await office.write(WANG, "lamp", record, {"title": "乙"}, base=seen, type_version=2)
    assert verdict.attention is not None
    (row,) = (await office.fields(verdict.attention))["differences"]
    assert (row["field"], row["base"], row["standing"], row["offered"]) == ("title", "路灯", "甲", "乙")


async def test_history_tells_all_in_the_present_form(office: Office) -> None:
    """What changes set, and what was there before, is told under the names and in the units of now."""
    record, seen = await made(office)
    await office.write(LI, "lamp", record, {"height_cm": 320}, base=seen)
    office.registry = PROGRAMS[2]
    first, second = (await told(office, record)).entries
    assert msgspec.msgpack.decode(first.fields)["title"] == "路灯"
    assert msgspec.msgpack.decode(second.fields) == {"height_mm": 3200}
    assert msgspec.msgpack.decode(second.before) == {"height_mm": 3100}


async def test_a_change_refused_before_the_update_is_applied_after_it(office: Office) -> None:
    """A supervisor applies what was refused in the old form; the record has it in the new one."""
    record, _ = await made(office)
    stranger = inspector("zhao", "grid:440304009")
    refused = await office.write(stranger, "lamp", record, {"height_cm": 400})
    assert refused.attention is not None
    office.registry = PROGRAMS[2]
    await office.write(SUP, "refusal", refused.attention, {"state": "applied"}, base=2**40)
    assert (await shown(office, record))["height_mm"] == 4000


async def test_a_conflict_from_before_the_update_is_resolved_after_it(office: Office) -> None:
    """The resolution names fields as the conflict does; the record has the value under the new name."""
    record, seen = await made(office)
    await office.write(LI, "lamp", record, {"text": "甲"}, base=seen)
    dispute = await office.write(WANG, "lamp", record, {"text": "乙"}, base=seen)
    assert dispute.attention is not None
    office.registry = PROGRAMS[2]
    choice = {"state": "resolved", "resolution": {"text": "乙"}}
    verdict = await office.write(SUP, "conflict", dispute.attention, choice, base=2**40)
    assert (verdict.outcome, (await shown(office, record))["title"]) == (Outcome.APPLIED, "乙")


async def test_what_moved_before_the_update_is_forgotten_after_it(office: Office) -> None:
    """A record that moved away while its place had another name is named to who may hold it."""
    record, seen = await made(office)
    page = await office.read(inspector("one", f"grid:{GRID}"))
    await office.write(SUP, "lamp", record, {"area": GRID[:-1] + "9"}, base=seen)
    office.registry = PROGRAMS[2]
    later = await office.read(inspector("one", f"grid:{GRID}"), page.cursor)
    assert later.forget == [record]


@pytest.mark.parametrize("newer", [2, 4])
async def test_an_older_server_does_not_show_what_it_cannot_read(office: Office, newer: int) -> None:
    """Records in a newer form, or that may hold fields it would show to everybody, are answered with a problem."""
    older = newer - 1
    record = new_id()
    office.registry = PROGRAMS[newer]
    secret = {"owner_phone": "139"} if newer == 4 else {}
    await office.write(SUP, "lamp", record, {"grid": GRID, "title": "路灯", **secret}, type_version=newer)
    office.registry = PROGRAMS[older]
    with pytest.raises(SyncError) as pulled:
        await office.read(LI)
    with pytest.raises(SyncError) as asked:
        await told(office, record)
    assert [pulled.value.code, asked.value.code] == ["server_behind"] * 2


async def test_an_older_server_does_not_pass_over_a_type_it_does_not_know(office: Office) -> None:
    """A reader whose program knows the type is told to come later, by every door, and then gets the records."""
    record, _ = await made(office)
    newer, types = office.registry, {spec.name: spec.version for spec in office.registry}
    office.registry = REGISTRY
    with pytest.raises(SyncError) as pulled:
        await office.read(LI, types=types)
    async with office.store.reading() as tx:
        with pytest.raises(SyncError) as fetched:
            await fetch(tx, REGISTRY, LI, FetchRequest([record], types), office.now)
        with pytest.raises(SyncError) as compared:
            await digest(tx, REGISTRY, LI, DigestRequest(f"grid:{STREET}", types=types), office.now)
    assert [one.value.code for one in (pulled, fetched, compared)] == ["server_behind"] * 3
    office.registry = newer
    assert await shown(office, record, types)


async def test_who_takes_all_types_as_they_are_gets_a_new_one_after_the_update(office: Office) -> None:
    """A reader that names no types is served without those the server does not know, and gets them when it does."""
    record, _ = await made(office)
    newer, office.registry = office.registry, REGISTRY
    page = await office.read(LI)
    assert page.records == []
    office.registry = newer
    assert [one.id for one in (await office.read(LI, page.cursor)).records] == [record]


async def test_an_older_server_takes_no_change_of_what_it_cannot_read(office: Office) -> None:
    """The push is answered with a problem and nothing of it is taken; a newer server takes it later."""
    record = new_id()
    office.registry = PROGRAMS[2]
    await office.write(SUP, "lamp", record, {"grid": GRID, "title": "路灯"}, type_version=2)
    before = state(office).state
    office.registry = PROGRAMS[1]
    change = office.change(LI, "lamp", record, {"height_cm": 5}, base=2**40)
    with pytest.raises(SyncError) as behind:
        await office.submit(LI, change)
    assert (behind.value.code, state(office).state) == ("server_behind", before)
    office.registry = PROGRAMS[2]
    answer = await office.submit(LI, change)
    assert isinstance(answer, PushResponse)
    assert (answer.verdicts[0].outcome, (await shown(office, record))["height_mm"]) == (Outcome.APPLIED, 50)


async def test_an_older_server_serves_what_only_has_more_fields(office: Office) -> None:
    """A version that added a field for everybody stops no older server: the field is kept, and shown."""
    record = new_id()
    office.registry = PROGRAMS[3]
    fields = {"grid": GRID, "title": "路灯", "colour": "blue"}
    made = await office.write(SUP, "lamp", record, fields, type_version=3)
    office.registry = PROGRAMS[2]
    await office.write(LI, "lamp", record, {"title": "灯"}, base=made.version, type_version=2)
    assert await shown(office, record) == fields | {"title": "灯"}


async def test_a_program_newer_than_the_server_is_told(office: Office) -> None:
    """What an older server would send has names that a newer program does not read: it is told to come later."""
    await made(office)
    with pytest.raises(SyncError) as behind:
        await office.read(LI, types={"lamp": 2})
    assert behind.value.code == "server_behind"


async def test_a_refusal_shows_no_field_of_a_version_nobody_knows(office: Office) -> None:
    """What a newer program's refused change set may not be for everybody: it is in the log, but not shown."""
    office.registry = PROGRAMS[3]
    fields = {"grid": GRID, "title": "灯", "owner_phone": "139"}
    verdict = await office.write(LI, "lamp", new_id(), fields, type_version=4)
    assert (verdict.code, verdict.attention is not None) == ("type_too_new", True)
    assert verdict.attention is not None
    assert (await office.fields(verdict.attention))["refused"] == {"grid": GRID, "title": "灯"}
    logged = state(office).state.log[verdict.change]
    assert msgspec.msgpack.decode(logged.fields) == fields
    assert msgspec.msgpack.decode(change_now(PROGRAMS[3].get("lamp"), logged).fields) == {}


async def test_a_value_that_no_version_had_is_refused(office: Office) -> None:
    """A step that stumbles over what a client sent makes a refusal, and what it said is kept."""
    office.registry = PROGRAMS[2]
    verdict = await office.write(LI, "lamp", new_id(), OLD | {"height_cm": None})
    assert (verdict.outcome, verdict.code) == (Outcome.REFUSED, "value_invalid")
    assert msgspec.msgpack.decode(state(office).state.log[verdict.change].fields)["text"] == "路灯"


async def test_equal_forms_cost_nothing(office: Office) -> None:
    """A record whose form is the present one is handed on as it is."""
    record, _ = await made(office)
    stored = state(office).state.records[record]
    assert record_now(PROGRAMS[1].get("lamp"), stored) is stored


async def test_marks_of_no_field_stay(office: Office) -> None:
    """That a change was undone, and who made the record, is remembered through an update."""
    record, seen = await made(office)
    await office.write(LI, "lamp", record, {"height_cm": 310}, base=seen, undoes=new_id())
    stored = state(office).state.records[record]
    before = msgspec.msgpack.decode(stored.marks, type=dict[str, Mark])
    after = msgspec.msgpack.decode(record_now(PROGRAMS[2].get("lamp"), stored).marks, type=dict[str, Mark])
    assert {name for name in before if " " in name or not name} <= after.keys()


def test_a_field_for_few_says_since_when() -> None:
    """A later version of a type must say since when a field is not for everybody."""
    with pytest.raises(TypeError, match="since which version"):

        @record_type("x", zh="x", en="X", scopes=(in_grid("grid"),), access=Access(read=FIELD_WORKERS), version=2)
        class X(Record):
            grid: Annotated[str, Field("网格", "Grid")]
            secret: Annotated[str | None, Field("密", "Secret", read=SUPERVISION)] = None


def test_steps_stumble_politely() -> None:
    """Values that an old version never had are an error of the catalogue."""
    with pytest.raises(FieldError, match="version 1"):
        PROGRAMS[2].get("lamp").upgraded({"height_cm": None}, 1)
