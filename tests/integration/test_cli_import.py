"""gridwalk import, export, grids, sample: whole files through the real command, on both databases."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest

from field_schemas.record import NO_ID
from field_schemas.registry import load_types
from server.sample.city import EAST, NORTH, SOUTH, WEST, cells
from server.sample.inventory import components
from server.storage.database import open_database
from sync.storage import StoredRecord
from tests.integration.cli import Gridwalk, counted

GRID = "440304001001001"
HEAD = "code,kind,grid,place.lon,place.lat,name,tags,remark"
ROWS = [
    f"A1,0101,{GRID},114.05930000000001,22.541000000000004,上水井盖,夜查;破损,",
    f'A2,0102,{GRID},114.06,22.542,,,"第一行\n第二行"',
    f"A3,0103,{GRID},,22.542,,,",
    f"A4,0104,{GRID},114.06,22.543,,,",
]


@pytest.fixture
def gridwalk(tmp_path: Path, sqlite_url: str) -> Gridwalk:
    return Gridwalk(tmp_path, sqlite_url)


def write(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


async def stored(url: str, record_type: str) -> list[StoredRecord]:
    database = open_database(url, 1)
    async with database.store.reading() as tx:
        found = [record async for page in tx.scan(record_type) for record in page]
    await database.close()
    return found


def test_good_rows_load_and_bad_ones_are_reported(tmp_path: Path, database_url: str) -> None:
    """Bad rows go to the report with line, key, field, code and reason; the good ones load; again nothing changes."""
    gridwalk = Gridwalk(tmp_path, database_url)
    path = write(tmp_path, "parts.csv", HEAD, *ROWS)
    first = counted(gridwalk.well("import", path, "--type", "component", "--report", "bad.csv"))
    assert (first["created"], first["bad"]) == (3, 1)
    with (tmp_path / "bad.csv").open(encoding="utf-8-sig", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["row"], row["key"], row["field"], row["code"]) == ("5", "A3", "place", "value_invalid")
    second = counted(gridwalk.well("import", path, "--type", "component"))
    assert (second["created"], second["unchanged"], second["bad"]) == (0, 3, 1)


def test_import_of_nothing_but_bad_rows_fails(gridwalk: Gridwalk) -> None:
    """When not one row loads the exit code is 1, and the first reasons are shown."""
    path = write(gridwalk.folder, "parts.csv", HEAD, ROWS[2])
    printed = gridwalk("import", path, "--type", "component")
    assert printed.code == 1
    assert "2 A3" in printed.err


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.geojson", b"{", "not JSON"),
        ("a.csv", b"", "no header"),
        ("a.csv", f"{HEAD}\nA1,0101,{GRID},114,22,井盖,,\n".encode("gb18030"), "--encoding GB18030"),
        ("a.csv", b"code\nA1\n", "--map kind=Column"),
        ("a.xlsx", b"PK", "--format"),
    ],
)
async def test_file_that_cannot_be_read_loads_nothing(
    gridwalk: Gridwalk, sqlite_url: str, name: str, content: bytes, words: str
) -> None:
    """A file that cannot be imported as a whole is one sentence, and nothing is loaded."""
    (gridwalk.folder / name).write_bytes(content)
    assert words in gridwalk.fails("import", name, "--type", "component")
    assert await stored(sqlite_url, "component") == []


def test_missing_file_and_type(gridwalk: Gridwalk) -> None:
    """A file that is not there, and a missing type, are named."""
    assert "no.csv" in gridwalk.fails("import", "no.csv", "--type", "component")
    path = write(gridwalk.folder, "parts.csv", HEAD, *ROWS)
    assert "component" in gridwalk.fails("import", path)


async def test_dry_run(gridwalk: Gridwalk, sqlite_url: str) -> None:
    """A dry run counts and writes nothing."""
    path = write(gridwalk.folder, "parts.csv", HEAD, *ROWS)
    printed = gridwalk.well("import", path, "--type", "component", "--dry-run")
    assert counted(printed)["created"] == 3
    assert await stored(sqlite_url, "component") == []


@pytest.mark.parametrize("form", ["geojson", "csv"])
async def test_export_and_import_into_an_empty_store(tmp_path: Path, database_url: str, form: str) -> None:
    """An export imported into an empty store by its ids gives the same records, places bit for bit."""
    old = Gridwalk(tmp_path, database_url)
    path = write(tmp_path, "parts.csv", HEAD, *ROWS)
    old.well("import", path, "--type", "component", "--datum", "GCJ-02")
    old.well("export", "--type", "component", "--format", form, "-o", f"all.{form}")
    url = f"sqlite:///{tmp_path / 'new.db'}"
    Gridwalk(tmp_path, url).well("import", f"all.{form}", "--type", "component", "--key", "id")
    before, after = [
        {record.id: record.fields for record in await stored(one, "component")} for one in (database_url, url)
    ]
    assert len(before) == 3
    assert {key: canonical(fields) for key, fields in before.items()} == {
        key: canonical(fields) for key, fields in after.items()
    }


def canonical(fields: bytes) -> dict[str, Any]:
    """All fields, defaults included: a record may or may not spell these out."""
    spec = load_types().get("component")
    found = spec.typed(fields, NO_ID, 0)
    return {name: getattr(found, name) for name in spec.fields}


@pytest.mark.parametrize("form", ["geojson", "csv"])
def test_export_and_import_into_the_same_store(gridwalk: Gridwalk, form: str) -> None:
    """An export imported where it came from changes nothing."""
    path = write(gridwalk.folder, "parts.csv", HEAD, *ROWS)
    gridwalk.well("import", path, "--type", "component")
    gridwalk.well("export", "--type", "component", "--format", form, "-o", f"all.{form}")
    again = counted(gridwalk.well("import", f"all.{form}", "--type", "component", "--key", "id"))
    assert (again["unchanged"], again["created"], again["updated"], again["bad"]) == (3, 0, 0, 0)


def test_export_to_standard_output(gridwalk: Gridwalk) -> None:
    """Without a file the export is the whole standard output, coordinates as stored."""
    path = write(gridwalk.folder, "parts.csv", HEAD, *ROWS)
    gridwalk.well("import", path, "--type", "component")
    collection = json.loads(gridwalk.well("export", "--type", "component"))
    places = {feature["properties"]["code"]: feature["geometry"]["coordinates"] for feature in collection["features"]}
    assert places["A1"] == [114.05930000000001, 22.541000000000004]
    assert collection["features"][0]["properties"]["place.datum"] == "WGS-84"


def test_export_of_a_scope(gridwalk: Gridwalk) -> None:
    """--scope exports what lies there."""
    path = write(gridwalk.folder, "parts.csv", HEAD, *ROWS, "B1,0101,440304002,114.06,22.55,,,")
    gridwalk.well("import", path, "--type", "component")
    printed = gridwalk.well("export", "--type", "component", "--scope", "grid:440304002", "--format", "csv")
    assert [row["code"] for row in csv.DictReader(printed.removeprefix("\ufeff").splitlines())] == ["B1"]


def test_export_in_another_datum(gridwalk: Gridwalk) -> None:
    """--datum moves coordinates and says so."""
    path = write(gridwalk.folder, "parts.csv", HEAD, ROWS[3])
    gridwalk.well("import", path, "--type", "component")
    (feature,) = json.loads(gridwalk.well("export", "--type", "component", "--datum", "GCJ-02"))["features"]
    lon, lat = feature["geometry"]["coordinates"]
    assert 400 < math.hypot((lon - 114.06) * 102_700, (lat - 22.543) * 111_200) < 800
    assert feature["properties"]["place.datum"] == "GCJ-02"


def test_export_with_labels(gridwalk: Gridwalk) -> None:
    """--labels names the columns in the people's language."""
    path = write(gridwalk.folder, "parts.csv", HEAD, ROWS[0])
    gridwalk.well("import", path, "--type", "component")
    printed = gridwalk.well("export", "--type", "component", "--format", "csv", "--labels", "zh")
    assert "标识码" in printed.splitlines()[0]


def test_failed_export_leaves_the_old_file(gridwalk: Gridwalk) -> None:
    """A file appears only when it is whole: one that could not be finished leaves what was there, and no rubbish."""
    old = write(gridwalk.folder, "all.csv", "old")
    gridwalk.environment["GRIDWALK_DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/x"
    gridwalk.fails("export", "--type", "component", "--format", "csv", "-o", "all.csv")
    assert old.read_text("utf-8") == "old\n"
    assert [path.name for path in gridwalk.folder.glob(".all*")] == []


async def test_generated_grids_are_loaded_once(gridwalk: Gridwalk, sqlite_url: str) -> None:
    """gridwalk grids --load loads every cell, again none; a different grid for the district is refused."""
    words = ("grids", "--district", "110100", "--bounds", "116.3,39.9,116.33,39.92", "--load")
    assert "created" in gridwalk.well(*words)
    count = len(await stored(sqlite_url, "unit_grid"))
    assert f"{count} unchanged" in gridwalk.well(*words)
    assert "another grid" in gridwalk.fails(*words, "--cell-m", "500")
    path = write(gridwalk.folder, "parts.csv", "code,kind,place.lon,place.lat", "A1,0101,116.31,39.91")
    options = ("--type", "component", "--generate-grids", "--district", "110100")
    assert counted(gridwalk.well("import", path, *options))["created"] == 1
    assert len(await stored(sqlite_url, "unit_grid")) == count


def test_grid_file_can_be_imported(gridwalk: Gridwalk) -> None:
    """The file that gridwalk grids writes imports as unit grids."""
    gridwalk.well("grids", "--district", "110100", "--bounds", "116.3,39.9,116.33,39.92", "-o", "g.geojson")
    printed = counted(gridwalk.well("import", "g.geojson", "--type", "unit_grid"))
    assert printed["created"] == len(json.loads((gridwalk.folder / "g.geojson").read_text("utf-8"))["features"])


@pytest.mark.parametrize(("bounds", "code"), [("1,2,3", 2), ("a,b,c,d", 2), ("3,2,1,0", 1), ("-100,-80,100,80", 1)])
def test_wrong_bounds(gridwalk: Gridwalk, bounds: str, code: int) -> None:
    """Bounds that are none, empty or too large end with a sentence."""
    assert gridwalk("grids", "--district", "110100", "--bounds", bounds).code == code


def test_sample_imports_without_a_bad_row(tmp_path: Path, database_url: str) -> None:
    """The sample's three files load completely, with no mapping; every component finds its grid."""
    gridwalk = Gridwalk(tmp_path, database_url)
    gridwalk.well("sample", "--out", "sample", "--components", "3000")
    for name, kind, rows in (
        ("grids.geojson", "unit_grid", len(list(cells()))),
        ("components.csv", "component", 3000),
        ("parks.geojson", "component", 11),
    ):
        printed = counted(gridwalk.well("import", f"sample/{name}", "--type", kind))
        assert (printed["created"], printed["bad"]) == (rows, 0)


def test_sample_is_the_same_for_a_seed(gridwalk: Gridwalk) -> None:
    """The same seed gives the same bytes, another seed other ones."""
    for folder, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        gridwalk.well("sample", "--out", folder, "--components", "200", "--seed", seed)
    a, b, c = [(gridwalk.folder / folder / "components.csv").read_bytes() for folder in "abc"]
    assert a == b != c


def test_sample_city_has_ten_disjoint_streets() -> None:
    """The cells tile the box: ten streets, no code twice, areas that add up to the whole."""
    city = list(cells())
    assert len({cell.code[:9] for cell in city}) == 10
    assert len({cell.code for cell in city}) == len(city)
    area = sum((cell.east - cell.west) * (cell.north - cell.south) for cell in city)
    assert area == pytest.approx((EAST - WEST) * (NORTH - SOUTH), rel=1e-5)


def test_sample_components_are_plausible() -> None:
    """Codes have 16 digits and are unique, and every component lies in the box."""
    made = list(components(2_000, 1))
    assert len({component.code for component in made}) == 2_000
    assert all(len(component.code) == 16 and component.code[6:10] == component.kind for component in made)
    assert all(WEST < component.lon < EAST and SOUTH < component.lat < NORTH for component in made)
