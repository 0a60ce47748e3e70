"""Mappings: columns, templates, constants, value tables; what does not fit is said before anything is written."""

from pathlib import Path
from typing import Any

import pytest

from server.importing.mapping import Mapping, read_mapping, with_options
from server.importing.problems import ImportFailed
from tests.unit.import_builders import GRID, Desk, part

POINT = [114.05, 22.54]
FOUND = {"NO": 7, "WHAT": "Alley Cleaning", "WHERE": None, "ST": "OPEN", "P": "STANDARD"}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def one_finding(desk: Desk, properties: dict[str, Any], **mapping: Any) -> dict[str, Any]:
    mapping = {"fields": {}, "set": {}} | mapping
    mapping["set"] = {"kind": "0102", "grid": GRID, "text": "x"} | mapping["set"]
    for name in mapping["fields"]:
        mapping["set"].pop(name, None)
    await desk.load(desk.features((POINT, properties)), "finding", key="NO", **mapping)
    assert desk.bad == []
    (fields,) = [desk.fields(code, "finding") for code in desk.records("finding")]
    return fields


async def test_columns_named_like_fields_map_by_themselves(desk: Desk) -> None:
    """Columns with the names of fields need no mapping, dotted parts of a place neither; others are listed."""
    columns = "code,kind,grid,place.lon,place.lat,place.accuracy_m,COLOUR"
    summary = await desk.load(desk.table(f"A1,0101,{GRID},114.05,22.54,3.5,red", columns=columns))
    assert desk.fields("A1")["place"] == {"lon": 114.05, "lat": 22.54, "accuracy_m": 3.5}
    assert summary.unmapped == ("COLOUR",)


async def test_template(desk: Desk) -> None:
    """A template joins columns; empty ones leave no gap."""
    fields = await one_finding(desk, FOUND, fields={"text": "{WHAT}  {WHERE} no. {NO}"})
    assert fields["text"] == "Alley Cleaning no. 7"


async def test_constant(desk: Desk) -> None:
    """A constant fills a field in every row."""
    assert (await one_finding(desk, FOUND, set={"priority": "urgent"}))["priority"] == "urgent"


@pytest.mark.parametrize(("cell", "state"), [("OPEN", "reported"), ("CLOSED", "closed"), ("VOID", "withdrawn")])
async def test_value_table(desk: Desk, cell: str, state: str) -> None:
    """A table translates a column's words, "*" the rest; a system import may begin in any workflow state."""
    table = {"OPEN": "reported", "CLOSED": "closed", "*": "withdrawn"}
    fields = await one_finding(desk, FOUND | {"ST": cell}, fields={"state": "ST"}, values={"state": table})
    assert fields["state"] == state


async def test_word_outside_the_table_is_a_bad_row(desk: Desk) -> None:
    """Without "*" a word that the table and the field do not know is reported with the words that are."""
    path = desk.features((POINT, FOUND | {"ST": "LOST"}))
    constants = {"kind": "0102", "grid": GRID, "text": "x"}
    await desk.load(
        path, "finding", key="NO", fields={"state": "ST"}, values={"state": {"OPEN": "reported"}}, set=constants
    )
    (bad,) = desk.bad
    assert (bad.number, bad.key, bad.field, bad.code) == (1, "7", "state", "value_invalid")
    assert "reported" in bad.reason.en


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"fields": {"kidn": "ST"}}, "did you mean kind"),
        ({"fields": {"kind": "STT"}}, "did you mean ST"),
        ({"fields": {"text": "{WHAT} {WHEN}"}}, "no column 'WHEN'"),
        ({"set": {"colour": "red"}}, "no field 'colour'"),
        ({"values": {"kind": {"a": "b"}}}, "--map kind"),
        ({"key": "NUMBER", "set": {"kind": "1", "text": "x"}}, "no column 'NUMBER'"),
        ({"datum": "NAD83"}, "there are: WGS-84"),
        ({"timezone": "Mars/Olympus"}, "Asia/Shanghai"),
        ({"encoding": "klingon"}, "no encoding"),
        ({"type": "shop"}, "there are: case, case_note, component"),
        ({"fields": {"place.lon": "NO"}}, "place.lat"),
    ],
)
async def test_mapping_that_does_not_fit(desk: Desk, mapping: dict[str, Any], words: str) -> None:
    """Unknown fields, columns and names stop the import with a hint, and nothing is written."""
    with pytest.raises(ImportFailed, match=words):
        await desk.load(desk.features((POINT, FOUND)), **({"type": "finding"} | mapping))
    assert desk.written() == []


async def test_required_field_without_source(desk: Desk) -> None:
    """A required field that nothing fills stops the import, naming the options and the columns."""
    with pytest.raises(ImportFailed, match=r"nothing fills kind: add --map kind=Column .* NO, WHAT"):
        await desk.load(desk.features((POINT, FOUND)), fields={"code": "NO"})


async def test_rows_that_nothing_tells_apart(desk: Desk) -> None:
    """Without a code, an id or --key the import stops."""
    with pytest.raises(ImportFailed, match="--key"):
        await desk.load(desk.features((POINT, FOUND)), "finding", set={"kind": "1", "grid": GRID, "text": "x"})


async def test_wrong_geometry_stops_the_import(desk: Desk) -> None:
    """A file of lines is no file of components."""
    line = {"type": "LineString", "coordinates": [[1, 2], [3, 4]]}
    with pytest.raises(ImportFailed, match="holds LineString, but component needs points"):
        await desk.load(desk.features((line, FOUND)), fields={"code": "NO"}, set={"kind": "1"})


async def test_declared_datum(desk: Desk) -> None:
    """The datum of the file stands beside the coordinates; a column can say another."""
    columns = "code,kind,grid,place.lon,place.lat,place.datum"
    rows = [f"A1,0101,{GRID},114.05,22.54,", f"A2,0101,{GRID},114.05,22.54,BD-09"]
    await desk.load(desk.table(*rows, columns=columns), datum="GCJ-02")
    assert [desk.fields(code)["place"]["datum"] for code in ("A1", "A2")] == ["GCJ-02", "BD-09"]


async def test_area_from_polygon(desk: Desk) -> None:
    """A polygon, also as a multi-polygon of one part, is an area; one of two parts is a bad row."""
    ring = [[114.0, 22.5], [114.1, 22.5], [114.1, 22.6], [114.0, 22.5]]
    path = desk.features(
        ({"type": "Polygon", "coordinates": [ring]}, {"code": GRID}),
        ({"type": "MultiPolygon", "coordinates": [[ring]]}, {"code": "440304001001002"}),
        ({"type": "MultiPolygon", "coordinates": [[ring], [ring]]}, {"code": "440304001001003"}),
    )
    await desk.load(path, "unit_grid")
    assert sorted(desk.records("unit_grid")) == [GRID, "440304001001002"]
    assert [list(point) for point in desk.fields(GRID, "unit_grid")["boundary"]["rings"][0]] == ring
    assert [(bad.number, bad.field) for bad in desk.bad] == [(3, "boundary")]


def test_mapping_file_and_options(tmp_path: Path) -> None:
    """Options stand above the mapping file, field by field."""
    path = tmp_path / "m.toml"
    path.write_text('type = "finding"\n[fields]\nkind = "A"\ntext = "B"\n[set]\ngrid = "440304"\n', "utf-8")
    mapping = with_options(read_mapping(path), ["grid=G"], ["kind=0102"])
    assert mapping == Mapping(type="finding", fields={"text": "B", "grid": "G"}, set={"kind": "0102"})


@pytest.mark.parametrize(
    ("content", "words"), [("type = ", "is wrong"), ("[field]\na = 1\n", "is wrong"), ("type = 1", "is wrong")]
)
def test_mapping_file_with_errors(tmp_path: Path, content: str, words: str) -> None:
    """A mapping file with a mistake names the mistake."""
    path = tmp_path / "m.toml"
    path.write_text(content, "utf-8")
    with pytest.raises(ImportFailed, match=words):
        read_mapping(path)


def test_options_without_equals_sign() -> None:
    """--map and --set take pairs."""
    with pytest.raises(ImportFailed, match="--map takes field=value"):
        with_options(Mapping(), ["kind"], [])


async def test_number_in_a_place(desk: Desk) -> None:
    """A position that is no number, out of range, half empty or 0, 0 is a bad row each."""
    rows = [
        part("A1", **{"place.lon": "east"}),
        part("A2", **{"place.lon": "401250.8"}),
        part("A3", **{"place.lat": ""}),
        part("A4", **{"place.lon": "0", "place.lat": "0.0"}),
        part("A5", **{"place.lon": "nan"}),
        part("A6"),
    ]
    summary = await desk.load(desk.table(*rows))
    assert (summary.counts.created, summary.counts.bad) == (1, 5)
    assert [bad.number for bad in sorted(desk.bad, key=lambda bad: bad.number)] == [2, 3, 4, 5, 6]
    assert {bad.field for bad in desk.bad} == {"place", "place.lon"}
