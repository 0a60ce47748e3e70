"""Where a record was at each change of its history."""

import uuid
from typing import Annotated, Any

import pytest

from field_schemas.access import FIELD_WORKERS, SUPERVISION, Access
from field_schemas.datum import Datum
from field_schemas.places import Position
from field_schemas.record import Field, Record, record_type
from field_schemas.registry import Registry
from field_schemas.scopes import in_grid
from field_schemas.types.attention import Refusal
from field_schemas.types.values import GridPrefix
from sync.authority import SERVER, Actor
from sync.history import history
from sync.messages import HistoryEntry, Outcome
from tests.unit.builders import GRID, STREET, Office, component, inspector, new_id, supervisor

HERE = Position(114.059, 22.541)
THERE = Position(114.06, 22.55, Datum.GCJ02, 8.0)
OTHER_GRID = STREET + "002001"
FINDING = {"kind": "0102", "grid": GRID, "text": "cover broken"}
RINGS = [[[114.0, 22.0], [114.2, 22.0], [114.2, 22.4], [114.0, 22.0]]]
ACCESS = Access(read=FIELD_WORKERS, create=FIELD_WORKERS, write=FIELD_WORKERS)


@record_type("hideout", zh="藏", en="Hideout", scopes=(in_grid("grid"),), access=ACCESS, place="place")
class Hideout(Record):
    """Something whose place only supervisors may read."""

    grid: Annotated[GridPrefix, Field("网格", "Grid")]
    place: Annotated[Position | None, Field("位置", "Position", read=SUPERVISION)] = None


async def told(office: Office, reader: Actor, record: uuid.UUID) -> list[HistoryEntry]:
    """The record's history as `reader` gets it."""
    async with office.store.reading() as tx:
        return (await history(tx, office.registry, reader, record, office.now)).entries


async def test_where_each_change_left_the_record() -> None:
    """Each entry tells the position and grid the record had by that change, whoever had set them."""
    office, li, boss, record = Office(), inspector("li"), supervisor(), new_id()
    made = await office.write(li, "finding", record, FINDING | {"place": {"lon": HERE.lon, "lat": HERE.lat}})
    seen = await office.write(boss, "finding", record, {"priority": "urgent"}, base=made.version)
    moved = {"grid": OTHER_GRID, "place": {"lon": 114.06, "lat": 22.55, "datum": "GCJ-02", "accuracy_m": 8.0}}
    await office.write(li, "finding", record, moved, base=seen.version)
    assert [(one.place, one.grid) for one in await told(office, li, record)] == [
        (HERE, GRID),
        (HERE, GRID),
        (THERE, OTHER_GRID),
    ]


async def test_a_place_that_did_not_come_to_stand() -> None:
    """A conflict over the place tells where the record stayed; what was offered stands among the fields."""
    office, boss, record = Office(), supervisor(), new_id()
    made = await office.write(boss, "component", record, component())
    await office.write(boss, "component", record, {"place": {"lon": 114.1, "lat": 22.5}}, base=made.version)
    late = await office.write(
        inspector("li"), "component", record, {"place": {"lon": 114.2, "lat": 22.5}}, base=made.version
    )
    assert late.outcome is Outcome.CONFLICT
    assert (await told(office, boss, record))[-1].place == Position(114.1, 22.5)


async def test_where_a_refused_change_would_have_been() -> None:
    """A refused change is told where it says itself, and without that where its author saw the record."""
    office, li, boss, record = Office(), inspector("li"), supervisor(), new_id()
    made = await office.write(boss, "component", record, component())
    await office.write(boss, "component", record, {"place": {"lon": 114.1, "lat": 22.5}}, base=made.version)
    denied = {"responsible": "shop"}
    await office.write(li, "component", record, denied, base=made.version)
    await office.write(li, "component", record, denied | {"place": {"lon": 114.2, "lat": 22.5}}, base=made.version)
    assert [one.place for one in (await told(office, li, record))[2:]] == [HERE, Position(114.2, 22.5)]


@pytest.mark.parametrize("nonsense", [7, "there", {"lon": 500}, {"rings": 3}, [1, 2]])
async def test_a_refused_change_may_say_anything(nonsense: Any) -> None:
    """What is no place, or no grid, is told as none."""
    office, boss, record = Office(), supervisor(), new_id()
    made = await office.write(boss, "component", record, component())
    wrong = {"place": nonsense, "grid": nonsense}
    assert (await office.write(boss, "component", record, wrong, base=made.version)).outcome is Outcome.REFUSED
    entry = (await told(office, boss, record))[-1]
    assert (entry.place, entry.grid) == (None, None)


async def test_a_refused_creation_has_a_place() -> None:
    """Of a record that never came to be, its author is told where it would have been."""
    office, li, record = Office(), inspector("li"), new_id()
    place = {"lon": HERE.lon, "lat": HERE.lat}
    refused = await office.write(li, "finding", record, {"kind": "0102", "grid": GRID, "place": place})
    assert refused.code == "field_missing"
    (entry,) = await told(office, li, record)
    assert (entry.place, entry.grid) == (HERE, GRID)


async def test_the_place_is_masked_for_who_may_not_read_it() -> None:
    """A reader who may not read the place field learns no place from the history either."""
    office, li, boss, record = Office(registry=Registry([Hideout, Refusal])), inspector("li"), supervisor(), new_id()
    await office.write(boss, "hideout", record, {"grid": GRID, "place": {"lon": HERE.lon, "lat": HERE.lat}})
    assert [(one.place, one.grid) for one in await told(office, boss, record)] == [(HERE, GRID)]
    assert [(one.place, one.grid) for one in await told(office, li, record)] == [(None, GRID)]


async def test_an_area_is_told_by_its_middle() -> None:
    """Of a record that is an area, the history tells the middle, in WGS-84."""
    office, record = Office(), new_id()
    await office.write(SERVER, "unit_grid", record, {"code": GRID, "boundary": {"rings": RINGS}}, seq=1)
    (entry,) = await told(office, supervisor(), record)
    assert entry.place is not None
    assert (entry.place.lon, entry.place.lat) == pytest.approx((114.1, 22.2))
