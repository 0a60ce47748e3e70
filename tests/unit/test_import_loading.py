"""Loading: importing again changes only what the source changed, and people's edits are respected."""

import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.importing.comparing import Standing
from server.importing.loading import BATCH
from server.importing.plan import record_id
from sync.authority import SERVER_DEVICE, SERVER_USER
from sync.memory import MemoryStore
from sync.messages import Outcome
from tests.unit.import_builders import GRID, Desk, fields_of, part


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def test_rows_become_changes_of_the_server(desk: Desk) -> None:
    """Every row is one change of the server in the log, applied."""
    await desk.load(desk.table(part("A1"), part("A2")))
    assert [(change.user, change.device, change.seq, change.outcome) for change in desk.written()] == [
        (SERVER_USER, SERVER_DEVICE, 0, Outcome.APPLIED)
    ] * 2


async def test_id_follows_from_type_source_and_key(desk: Desk) -> None:
    """A record's id follows from type, source and key, and differs when one of them does."""
    await desk.load(desk.table(part("A1")), source="water")
    assert desk.records()["A1"].id == record_id("component", "water", "A1")
    others = {record_id("component", "gas", "A1"), record_id("finding", "water", "A1")}
    assert len(others | {record_id("component", "water", "A1")}) == 3


async def test_second_import_writes_nothing(desk: Desk) -> None:
    """The same file again leaves records and log as they are."""
    path = desk.table(part("A1", tags="b;a", inspections=3), part("A2", material=""))
    await desk.load(path)
    before = (dict(desk.memory.state.records), len(desk.memory.state.log))
    summary = await desk.load(path)
    assert summary.counts.unchanged == 2
    assert (desk.memory.state.records, len(desk.memory.state.log)) == before


async def test_changed_row_writes_only_what_differs(desk: Desk) -> None:
    """A changed row becomes a change of the fields that differ."""
    await desk.load(desk.table(part("A1", tags="a;b", inspections=3), part("A2")))
    summary = await desk.load(desk.table(part("A1", tags="b;c", inspections=5, material=""), part("A2")))
    assert (summary.counts.updated, summary.counts.unchanged) == (1, 1)
    patch = msgspec.msgpack.decode(desk.written()[-1].fields)
    assert patch == {"tags": {"add": ["c"], "remove": ["a"]}, "inspections": 2, "material": None}
    fields = desk.fields("A1")
    assert (fields["tags"], fields["inspections"], fields["material"]) == (["b", "c"], 5, None)


async def test_a_record_is_as_imported_until_somebody_writes_it(desk: Desk) -> None:
    """What only the first import wrote is known to be the source's, without a look at the log; an edit ends that."""
    await desk.load(desk.table(part("A1"), part("A2")))
    await desk.edit(desk.records()["A2"], material="PVC")
    spec = desk.registry.get("component")
    fresh = {code: Standing.of(spec, record).is_as_imported() for code, record in desk.records().items()}
    assert fresh == {"A1": True, "A2": False}


async def test_edit_stays_while_the_source_says_the_same(desk: Desk) -> None:
    """A field that a person changed stays changed as long as the file still says what it said."""
    path = desk.table(part("A1", tags="a", inspections=3))
    await desk.load(path)
    edit = {"material": "PVC", "condition": "worn", "tags": {"add": ["x"], "remove": ["a"]}, "inspections": 1}
    await desk.edit(desk.records()["A1"], **edit)
    for _ in range(2):
        summary = await desk.load(path)
        assert (summary.counts.kept, summary.counts.updated, summary.counts.conflicts) == (1, 0, 0)
    fields = desk.fields("A1")
    assert (fields["material"], fields["condition"], fields["tags"], fields["inspections"]) == (
        "PVC",
        "worn",
        ["x"],
        4,
    )


async def test_source_and_person_change_different_fields(desk: Desk) -> None:
    """What the file changes is written, what the person changed stays."""
    await desk.load(desk.table(part("A1")))
    await desk.edit(desk.records()["A1"], condition="worn")
    summary = await desk.load(desk.table(part("A1", material="PVC")))
    assert summary.counts.updated == 1
    assert (desk.fields("A1")["condition"], desk.fields("A1")["material"]) == ("worn", "PVC")
    assert (await desk.load(desk.table(part("A1", material="PVC")))).counts.kept == 1


async def test_source_and_person_change_the_same_field(desk: Desk) -> None:
    """Where file and person both changed a field under review a person decides, and is asked once."""
    await desk.load(desk.table(part("A1")))
    await desk.edit(desk.records()["A1"], condition="worn")
    path = desk.table(part("A1", condition="damaged"))
    summary = await desk.load(path)
    assert summary.counts.conflicts == 1
    assert desk.fields("A1")["condition"] == "worn"
    again = await desk.load(path)
    assert (again.counts.kept, again.counts.conflicts) == (1, 0)
    assert len(desk.records("conflict")) == 1


async def test_settled_conflict_stays_settled(desk: Desk) -> None:
    """What a supervisor decided about a conflict with the file is not undone by the next import."""
    await desk.load(desk.table(part("A1")))
    await desk.edit(desk.records()["A1"], condition="worn")
    path = desk.table(part("A1", condition="damaged"))
    await desk.load(path)
    (conflict,) = desk.records("conflict").values()
    await desk.edit(conflict, state="resolved", resolution={"condition": "missing"})
    assert desk.fields("A1")["condition"] == "missing"
    await desk.load(path)
    assert desk.fields("A1")["condition"] == "missing"


async def test_code_that_was_set_cannot_change(desk: Desk) -> None:
    """A row that would change a field that is set once is a bad row with the catalogue's code; the others load."""
    columns = "NO,code,kind,grid,place.lon,place.lat"
    row = f"0101,{GRID},114.05,22.54"
    await desk.load(desk.table(f"1,A1,{row}", columns=columns), key="NO")
    summary = await desk.load(desk.table(f"1,B1,{row}", f"2,A2,{row}", columns=columns), key="NO")
    assert (summary.counts.bad, summary.counts.created) == (1, 1)
    assert [(bad.number, bad.key, bad.code) for bad in desk.bad] == [(2, "1", "already_set")]


async def test_deleted_record_stays_deleted(desk: Desk) -> None:
    """A record that people deleted does not come back; the row is reported."""
    path = desk.table(part("A1"))
    await desk.load(path)
    assert await desk.delete(desk.records()["A1"]) is Outcome.APPLIED
    count = len(desk.memory.state.log)
    summary = await desk.load(path)
    assert (summary.counts.bad, desk.bad[0].code, len(desk.memory.state.log)) == (1, "record_deleted", count)


async def test_key_twice_in_a_file(desk: Desk) -> None:
    """Of rows with the same key the first loads, the others are reported with their lines."""
    summary = await desk.load(desk.table(part("A1", material="a"), part("A1", material="b"), part("")))
    assert summary.counts.created == 1
    assert desk.fields("A1")["material"] == "a"
    assert [(bad.number, bad.code) for bad in desk.bad] == [(3, "key_duplicate"), (4, "field_missing")]


async def test_interrupted_import_goes_on(desk: Desk) -> None:
    """An import that was cut off between transactions is completed by running it again."""
    path = desk.table(*(part(f"A{number}") for number in range(2 * BATCH + 10)))

    def cut(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await desk.load(path, stop=cut)
    assert len(desk.records()) == BATCH
    summary = await desk.load(path)
    assert (summary.counts.created, summary.counts.unchanged) == (BATCH + 10, BATCH)


async def test_rehearsal_writes_nothing(desk: Desk) -> None:
    """A dry run counts what would happen and leaves no trace."""
    await desk.load(desk.table(part("A1")))
    count = len(desk.memory.state.log)
    summary = await desk.load(desk.table(part("A1", material="x"), part("A2"), part("A3", kind="")), rehearse=True)
    assert (summary.counts.updated, summary.counts.created, summary.counts.bad) == (1, 1, 1)
    assert (len(desk.memory.state.log), list(desk.records())) == (count, ["A1"])


async def test_ids_of_an_export_are_kept(desk: Desk) -> None:
    """With the column `id` as key, ids that are UUIDs become the records' ids."""
    wanted = uuid.UUID(int=123)
    columns = "id,code,kind,grid,place.lon,place.lat"
    await desk.load(desk.table(f"{wanted},A1,0101,{GRID},114.05,22.54", columns=columns), key="id")
    assert desk.records()["A1"].id == wanted


async def test_version_of_an_export_is_the_base(desk: Desk) -> None:
    """A row edited in an export is merged as an edit of that version: untouched cells undo nothing."""
    columns = "id,version,code,kind,grid,place.lon,place.lat,condition,material"
    await desk.load(desk.table(part("A1")))
    record = desk.records()["A1"]
    head = f"{record.id},{record.version},A1,0101,{GRID},114.05,22.54"
    await desk.edit(record, condition="worn")
    summary = await desk.load(desk.table(f"{head},good,PVC", columns=columns), key="id")
    assert summary.counts.updated == 1
    assert (desk.fields("A1")["condition"], desk.fields("A1")["material"]) == ("worn", "PVC")
    again = await desk.load(desk.table(f"{head},damaged,PVC", columns=columns), key="id")
    assert again.counts.conflicts == 1


async def test_record_of_another_type_is_not_touched(desk: Desk) -> None:
    """An id that belongs to a record of another type is a bad row."""
    await desk.load(desk.table(part("A1")))
    path = desk.table(f"{desk.records()['A1'].id},{GRID},x", columns="id,grid,text")
    await desk.load(path, "note", key="id")
    assert [bad.code for bad in desk.bad] == ["type_mismatch"]


degrees = st.floats(-179.99, 179.99, allow_nan=False).filter(lambda value: value != 0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lon=degrees, lat=st.floats(-89.99, 89.99, allow_nan=False))
async def test_coordinates_stay_bit_for_bit(desk: Desk, lon: float, lat: float) -> None:
    """What a file says of a place is stored as the same binary numbers, from CSV and GeoJSON alike."""
    desk.memory = desk.store = MemoryStore(uuid.UUID(int=1))
    await desk.load(desk.table(part("A1", **{"place.lon": repr(lon), "place.lat": repr(lat)})))
    await desk.load(desk.features(([lon, lat, 7.5], {"code": "A2", "kind": "1", "grid": GRID})))
    assert [_place(desk, code) for code in ("A1", "A2")] == [{"lon": lon, "lat": lat}] * 2


def _place(desk: Desk, code: str) -> Any:
    return fields_of(desk.records()[code])["place"]
