"""Local queries: near, text, equal fields."""

import math
import random
from itertools import islice
from pathlib import Path

import h3.api.basic_int as h3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client_sdk.errors import Invalid
from client_sdk.store.finding import Query, find
from client_sdk.store.nearby import descendants, least_m, outward
from client_sdk.store.opening import open_store
from client_sdk.store.records import RecordRow
from client_sdk.store.searchtext import indexed, query_for
from field_schemas.datum import Datum, convert, distance_m
from field_schemas.places import CELL_RESOLUTION, Position, place_cell
from field_schemas.record import type_of
from field_schemas.types.component import Component
from field_schemas.types.finding import Finding
from sync.ids import uuid7
from tests.fake_server import REGISTRY
from tests.fake_time import START_MS
from tests.phones import city, component, finding, phone

CHINESE = "盖板破损井铁路灯树坑莲花山公园福田区"
# Futian, the equator at Greenwich, the far north, the date line, near a pole, and a pentagon of H3.
PLACES = [(114.055, 22.541), (0.0, 0.0), (25.0, 68.4), (179.9995, -16.8), (30.0, 84.9), (-143.478, 50.103)]


def moved(lon: float, lat: float, bearing: float, metres: float) -> tuple[float, float]:
    """The point `metres` away in direction `bearing` (radians)."""
    angle, phi = metres / 6_371_008.8, math.radians(lat)
    there = math.asin(math.sin(phi) * math.cos(angle) + math.cos(phi) * math.sin(angle) * math.cos(bearing))
    east = math.atan2(
        math.sin(bearing) * math.sin(angle) * math.cos(phi), math.cos(angle) - math.sin(phi) * math.sin(there)
    )
    return (lon + math.degrees(east) + 180) % 360 - 180, math.degrees(there)


@settings(max_examples=300, deadline=None)
@given(
    place=st.sampled_from(PLACES),
    offset=st.tuples(st.floats(0, 6.28), st.floats(0, math.log(10_000_000)).map(math.exp)),
    far=st.tuples(st.floats(0, 6.28), st.floats(0, math.log(10_000_000)).map(math.exp)),
    resolution=st.integers(0, CELL_RESOLUTION),
)
def test_no_place_is_nearer_than_its_cell(
    place: tuple[float, float], offset: tuple[float, float], far: tuple[float, float], resolution: int
) -> None:
    """Wherever on earth, a place is among its cell's descendants and not nearer than the cell says."""
    x, y = moved(*place, *offset)
    lon, lat = moved(x, y, *far)
    cell = h3.cell_to_parent(place_cell(x, y), resolution)
    first, last = descendants(cell, resolution)
    assert first <= place_cell(x, y) <= last
    assert least_m(cell, lon, lat) <= distance_m(lon, lat, x, y)


@pytest.mark.parametrize("place", [PLACES[0], (114.9, 22.9), (-60.0, 10.0)])
def test_few_cells_are_read_wherever_one_asks(tmp_path: Path, place: tuple[float, float]) -> None:
    """In the midst of many records, beside them, and on the other side of the earth, a query reads a few of them."""
    rng = random.Random(7)
    tables, _ = open_store(tmp_path / "s.db", REGISTRY, START_MS, rng.randbytes)
    points = [moved(*PLACES[0], rng.uniform(0, 6.28), rng.uniform(0, 5_000)) for _ in range(20_000)]
    rows = [(rng.randbytes(16), place_cell(*point), *point) for point in points]
    tables.db.execute("BEGIN")
    tables.db.executemany(
        "INSERT INTO records (id, type, version, round, gone, deleted, cell, lon, lat, fields)"
        " VALUES (?, 'component', 1, 0, 0, 0, ?, ?, ?, x'80')",
        rows,
    )
    tables.db.execute("COMMIT")
    queries: list[str] = []
    tables.db.set_trace_callback(queries.append)
    found = list(islice(outward(tables.db, "component", *place, math.inf), 20))
    assert [one.distance_m for one in found] == sorted(distance_m(*place, *point) for point in points)[:20]
    assert len(queries) <= 120
    tables.db.close()


@pytest.mark.parametrize("place", PLACES)
def test_near_agrees_with_measuring_all(tmp_path: Path, place: tuple[float, float]) -> None:
    """The nearest records, and those within a radius, are those that measuring every record gives."""
    rng = random.Random(7)
    tables, _ = open_store(tmp_path / "s.db", REGISTRY, START_MS, rng.randbytes)
    spec = type_of(Component)
    points = [moved(*place, rng.uniform(0, 6.28), math.exp(rng.uniform(0, 10.3))) for _ in range(3_000)]
    rows = []
    for lon, lat in points:
        record = component(place=Position(lon, lat))
        rows.append(RecordRow(uuid7(START_MS, rng.randbytes).bytes, "component", 1, None, 0, False, False,
                              spec.patch_of(record), None))  # fmt: skip
    tables.db.execute("BEGIN")  # one commit, not one a row
    tables.records.put_many(rows)
    tables.db.execute("COMMIT")
    for _ in range(30):
        lon, lat = moved(*place, rng.uniform(0, 6.28), math.exp(rng.uniform(0, 9)))
        within = rng.choice([None, math.exp(rng.uniform(0, math.log(20_000)))])
        limit = rng.choice([None, 1, 5, 50])
        measured = sorted(
            (distance, row.id)
            for (x, y), row in zip(points, rows, strict=True)
            if (distance := distance_m(lon, lat, x, y)) <= (within or math.inf)
        )
        found = find(tables, Query(spec, (lon, lat), within, limit=limit))
        assert [one.id for one in found] == [record for _, record in measured[:limit]]
    tables.db.close()


@given(st.text(CHINESE + "AB12 -，。", max_size=30), st.data())
def test_any_part_of_chinese_text_is_found(text: str, data: st.DataObject) -> None:
    """The words of a query for any run of Chinese characters stand in the indexed text as a phrase."""
    runs = [run for run in "".join(c if c in CHINESE else " " for c in text).split() if run]
    if not runs:
        return
    run = data.draw(st.sampled_from(runs))
    start = data.draw(st.integers(0, len(run) - 1))
    part = run[start : data.draw(st.integers(start + 1, len(run)))]
    assert " ".join(part) in " ".join(indexed(text).split())
    assert query_for(part).split('"')[1].split() == list(part)


async def test_text_search(tmp_path: Path) -> None:
    """Chinese is found by any part, other words by their beginning, several words together; quotes do no harm."""
    async with phone(tmp_path, city(), "li") as li:
        for text in ("莲花山公园东门井盖破损", "福田区路灯 lamp-B12 不亮", "公园路边垃圾"):
            await li.create(finding(text))

        async def hits(text: str) -> int:
            return len(await li.find(Finding, text=text))

        wanted = {
            "公园": 2,
            "园东门井": 1,
            "灯 b1": 1,
            "LAMP": 1,
            "amp": 0,
            "公园 垃圾": 1,
            '"公园"': 2,
            "": 0,
            "山园": 0,
            "Ｌamp": 1,
        }
        assert {text: await hits(text) for text in wanted} == wanted


async def test_text_follows_edits(tmp_path: Path) -> None:
    """An edited text is found by its new words, and no longer by its old ones."""
    async with phone(tmp_path, city(), "li") as li:
        made = await li.create(finding("井盖破损"))
        await li.update(made, text="路灯不亮")
        assert (len(await li.find(Finding, text="井盖")), len(await li.find(Finding, text="路灯"))) == (0, 1)


async def test_equal_fields(tmp_path: Path) -> None:
    """Equality looks at values of any kind, defaults included; together with near and text all must hold."""
    async with phone(tmp_path, city(), "li") as li:
        near = await li.create(component(code="near", name="水井盖"))
        far = await li.create(component(code="far", place=Position(114.06, 22.55), condition="worn"))
        gcj = Position(*convert(114.0501, 22.54, Datum.WGS84, Datum.GCJ02), datum=Datum.GCJ02)
        await li.create(component(code="gcj", place=gcj, name="污水井盖"))
        assert [one.code for one in await li.find(Component, condition="worn")] == ["far"]
        assert {one.code for one in await li.find(Component, condition="unknown")} == {"near", "gcj"}
        assert [one.code for one in await li.find(Component, place=far.place)] == ["far"]
        assert [one.code for one in await li.find(Component, near=near.place, within_m=50)] == ["near", "gcj"]
        assert [one.code for one in await li.find(Component, near=gcj, text="井盖", limit=1)] == ["gcj"]
        assert [one.code for one in await li.find(Component, near=(114.06, 22.55), condition="unknown")] == [
            "gcj",
            "near",
        ]
        with pytest.raises(Invalid, match="field_unknown"):
            await li.find(Component, colour="red")
