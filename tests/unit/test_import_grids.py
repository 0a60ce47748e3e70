"""Rows without a grid get the unit grid that holds their position, from the store or generated."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from field_schemas.datum import Datum, convert
from field_schemas.grid_codes import GeneratedGrid
from field_schemas.places import Area
from server.importing.grids import GeneratedIndex, StoredCell, _outline, cell_item, grid_for
from server.importing.placing import GenerateGrids
from server.importing.problems import ImportFailed
from tests.unit.import_builders import Desk, fields_of

WASHINGTON = GenerateGrids("110100")
KIND = {"kind": "0305"}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def square(west: float, south: float, side: float = 0.01) -> dict[str, Any]:
    east, north = west + side, south + side
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


async def two_grids(desk: Desk, **mapping: Any) -> None:
    west, east = (square(114.0, 22.5), "440304001001001"), (square(114.01, 22.5), "440304001001002")
    features = ((shape, {"code": code}) for shape, code in (west, east))
    await desk.load(desk.features(*features, name="grids.geojson"), "unit_grid", **mapping)


def grid_of(desk: Desk, code: str) -> str:
    return str(desk.fields(code)["grid"])


async def test_grid_that_holds_the_position(desk: Desk) -> None:
    """A position gets the code of the grid around it, on a common edge the smaller one."""
    await two_grids(desk)
    points = {"A": [114.005, 22.505], "B": [114.015, 22.505], "C": [114.01, 22.505]}
    path = desk.features(*((point, {"code": code, **KIND}) for code, point in points.items()))
    await desk.load(path)
    assert [grid_of(desk, code)[-1] for code in "ABC"] == ["1", "2", "1"]


async def test_datums_meet_in_wgs84(desk: Desk) -> None:
    """Grids and positions in other datums are compared where they really are."""
    await two_grids(desk, datum="GCJ-02")
    inside = convert(114.0051, 22.505, Datum.GCJ02, Datum.WGS84)
    path = desk.features((list(inside), {"code": "A", **KIND}))
    await desk.load(path)
    assert grid_of(desk, "A") == "440304001001001"


async def test_position_in_no_grid(desk: Desk) -> None:
    """A position outside all grids is a bad row that says where it is."""
    await two_grids(desk)
    await desk.load(desk.features(([115.0, 22.505], {"code": "A", **KIND})))
    (bad,) = desk.bad
    assert (bad.number, bad.key, bad.field, bad.code) == (1, "A", "grid", "grid_unknown")
    assert "115.0" in bad.reason.zh


async def test_grid_of_the_file_stands(desk: Desk) -> None:
    """A row that names its grid keeps it, wherever it lies."""
    await two_grids(desk)
    await desk.load(desk.features(([114.005, 22.505], {"code": "A", "grid": "440304009", **KIND})))
    assert grid_of(desk, "A") == "440304009"


def cans(desk: Desk, *points: list[float], prefix: str = "A", name: str = "cans.geojson") -> Path:
    features = ((point, {"code": f"{prefix}{number}", **KIND}) for number, point in enumerate(points))
    return desk.features(*features, name=name)


async def test_generated_grids_hold_their_rows(desk: Desk) -> None:
    """Each row lies within the boundary of the generated grid it got."""
    points = [[-77.02, 38.9], [-77.0, 38.91], [-77.02, 38.9001]]
    summary = await desk.load(cans(desk, *points), generate=WASHINGTON)
    assert summary.counts.created == 3
    for number, (lon, lat) in enumerate(points):
        boundary = desk.fields(grid_of(desk, f"A{number}"), "unit_grid")["boundary"]["rings"][0]
        lons, lats = zip(*boundary, strict=True)
        assert min(lons) <= lon <= max(lons)
        assert min(lats) <= lat <= max(lats)


async def test_second_import_generates_nothing(desk: Desk) -> None:
    """The same file again finds the cells of the first time."""
    path = cans(desk, [-77.02, 38.9], [-77.0, 38.91])
    first = await desk.load(path, generate=WASHINGTON)
    count = len(desk.memory.state.log)
    second = await desk.load(path, generate=WASHINGTON)
    assert (first.cells, second.cells, second.counts.unchanged) == (4, 0, 2)
    assert len(desk.memory.state.log) == count


async def test_other_file_of_the_district_uses_the_same_grid(desk: Desk) -> None:
    """A second file with other bounds is numbered by the first file's grid; only the cells it needs are added."""
    await desk.load(cans(desk, [-77.02, 38.9], [-77.0, 38.91]), generate=WASHINGTON)
    before = {code: record.version for code, record in desk.records("unit_grid").items()}
    other = cans(desk, [-77.02, 38.9], [-77.09, 38.93], prefix="B", name="other.geojson")
    summary = await desk.load(other, generate=WASHINGTON)
    assert (summary.cells, summary.counts.bad) == (1, 0)
    assert grid_of(desk, "B0") == grid_of(desk, "A0")
    assert {code: desk.records("unit_grid")[code].version for code in before} == before


async def test_row_beyond_the_generated_grid(desk: Desk) -> None:
    """A row outside the district's generated grid is a bad row: the grid is never renumbered."""
    await desk.load(cans(desk, [-77.02, 38.9]), generate=WASHINGTON)
    summary = await desk.load(cans(desk, [-76.0, 38.9], prefix="B"), generate=WASHINGTON)
    assert (summary.counts.bad, desk.bad[0].code) == (1, "grid_unknown")


async def test_official_grids_are_not_mixed_with_generated(desk: Desk) -> None:
    """A district with grids of its own gets no generated ones."""
    await two_grids(desk)
    with pytest.raises(ImportFailed, match="leave out --generate-grids"):
        await desk.load(cans(desk, [114.5, 22.5]), generate=GenerateGrids("440304"))


async def test_cell_size_of_a_district_stays(desk: Desk) -> None:
    """Another cell size for a district that has generated grids is refused; leaving it out takes the old one."""
    await desk.load(cans(desk, [-77.02, 38.9]), generate=GenerateGrids("110100", 500.0))
    with pytest.raises(ImportFailed, match="500 m"):
        await desk.load(cans(desk, [-77.02, 38.9]), generate=GenerateGrids("110100", 100.0))
    assert (await desk.load(cans(desk, [-77.02, 38.9]), generate=WASHINGTON)).counts.unchanged == 1


async def test_area_too_large_for_its_cells(desk: Desk) -> None:
    """Bounds that need too many codes stop the import, with a cell size that fits."""
    with pytest.raises(ImportFailed, match="fits"):
        await desk.load(cans(desk, [-77.0, 38.9], [70.0, -10.0]), generate=WASHINGTON)


def stored(grid: GeneratedGrid, points: list[tuple[float, float]]) -> list[StoredCell]:
    cells = GeneratedIndex(grid).cells_for(points)
    return [
        StoredCell(cell.code, _outline(msgspec.convert(cell_item(cell, 0).fields["boundary"], Area)))
        for cell in cells
    ]


@settings(deadline=None)
@given(
    west=st.floats(-170, 170),
    south=st.floats(-70, 70),
    width=st.floats(0.001, 0.1),
    height=st.floats(0.001, 0.1),
    cell_m=st.sampled_from([250.0, 333.3, 1000.0, 60_000.0]),
    at=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_grid_is_found_again_from_its_corners(
    west: float, south: float, width: float, height: float, cell_m: float, at: tuple[float, float]
) -> None:
    """Whatever was generated, its two corner cells and one more tell the whole grid."""
    grid = GeneratedGrid("110100", west, south, west + width, south + height, cell_m)
    point = (min(west + at[0] * width, grid.east), min(south + at[1] * height, grid.north))
    found = grid_for("110100", stored(grid, [point]), [], None)
    assert [cell.code for cell in found.cells()] == [cell.code for cell in grid.cells()]
    assert found.code_at(*point) == grid.code_at(*point)


async def test_generated_cells_are_complete_after_a_cut(desk: Desk) -> None:
    """The corners that tell the grid are written before all other cells."""
    await desk.load(cans(desk, [-77.02, 38.9], [-77.0, 38.91], [-77.05, 38.95]), generate=WASHINGTON)
    codes = [str(fields_of(desk.memory.state.records[change.record])["code"]) for change in desk.written()[:5]]
    assert {min(codes), max(codes)} == set(codes[:2])
