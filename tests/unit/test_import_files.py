"""Reading CSV and GeoJSON files: where rows stand, and what stops an import before it begins."""

from pathlib import Path

import pytest

from server.importing.csv_file import CsvFile
from server.importing.geojson_file import GeoJsonFile
from server.importing.problems import ImportFailed
from server.importing.reading import format_of


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("encoding", "named"), [("utf-8", None), ("utf-8-sig", None), ("gb18030", "GB18030"), ("utf-16", "utf-16")]
)
def test_csv_encodings(tmp_path: Path, encoding: str, named: str | None) -> None:
    """CSV is UTF-8 with or without byte order mark, or in the encoding that is named."""
    file = CsvFile(write(tmp_path, "a.csv", "名称,code\n井盖,1\n".encode(encoding)), named)
    assert file.survey().columns == ["名称", "code"]
    assert [row.values for row in file.rows()] == [{"名称": "井盖", "code": "1"}]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_delimiters(tmp_path: Path, delimiter: str) -> None:
    """Comma, semicolon and tab part the columns."""
    file = CsvFile(write(tmp_path, "a.csv", f"a{delimiter}b\n1{delimiter}2\n"))
    assert [row.values for row in file.rows()] == [{"a": "1", "b": "2"}]


def test_csv_line_numbers_with_newlines_in_cells(tmp_path: Path) -> None:
    """A row's number is the line it begins on, also after cells with line breaks and empty lines."""
    file = CsvFile(write(tmp_path, "a.csv", 'a,b\r\n1,"x\r\ny\nz"\r\n\r\n2,y\r\n'))
    assert [(row.number, row.values["a"]) for row in file.rows()] == [(2, "1"), (6, "2")]


def test_csv_row_of_wrong_width_is_at_fault(tmp_path: Path) -> None:
    """A row with more or fewer cells than the header says so and gives no values."""
    rows = list(CsvFile(write(tmp_path, "a.csv", "a,b\n1\n1,2,3\n1,2\n")).rows())
    assert [(row.number, row.fault is not None) for row in rows] == [(2, True), (3, True), (4, False)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no header"),
        (b"\n\n", "no header"),
        (b"1,2\n3,4\n", "no header"),
        (b"a,,c\n1,2,3\n", "no header"),
        (b"a,a\n1,2\n", "same name"),
        ("名称\n井盖\n".encode("gb18030"), "--encoding GB18030"),
        (b'a,b\n1,"x\n', "proper CSV"),
        (b"a,b\n1,2\n\xff\xff,3\n", "--encoding"),
    ],
)
def test_csv_that_cannot_be_imported(tmp_path: Path, content: bytes, words: str) -> None:
    """No header, repeated columns, wrong encoding or broken quoting anywhere stop the import, saying what to do."""
    with pytest.raises(ImportFailed, match=words):
        CsvFile(write(tmp_path, "a.csv", content)).survey()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "FeatureCollection"),
        (b'{"type":"Feature"}', "FeatureCollection"),
        (b'{"type":"FeatureCollection"}', "FeatureCollection"),
        (b'{"type":"FeatureCollection","features":{}}', "FeatureCollection"),
        ('{"type":"名"}'.encode("gb18030"), "--encoding"),
        (
            b'{"type":"FeatureCollection","features":[],"crs":{"properties":{"name":"urn:ogc:def:crs:EPSG::3857"}}}',
            "WGS-84 degrees first",
        ),
    ],
)
def test_geojson_that_cannot_be_imported(tmp_path: Path, content: bytes, words: str) -> None:
    """What is no FeatureCollection in degrees stops the import."""
    with pytest.raises(ImportFailed, match=words):
        GeoJsonFile(write(tmp_path, "a.geojson", content)).survey()


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is named."""
    for file in (CsvFile(tmp_path / "no.csv"), GeoJsonFile(tmp_path / "no.geojson")):
        with pytest.raises(ImportFailed, match="cannot open"):
            file.survey()


def test_geojson_features(tmp_path: Path) -> None:
    """Features are numbered from 1; a feature's id is a column; one that cannot be read is at fault alone."""
    content = """{"type":"FeatureCollection","features":[
        {"type":"Feature","id":"x","properties":null,"geometry":null},
        {"type":"Feature","properties":[1],"geometry":null},
        {"type":"Feature","id":2,"properties":{"id":"own","b":1},"geometry":{"type":"Point","coordinates":[1,2]}}]}"""
    file = GeoJsonFile(write(tmp_path, "a.geojson", "\ufeff" + content))
    survey = file.survey()
    rows = list(file.rows())
    assert (survey.columns, survey.rows, survey.geometries) == (["id", "b"], 3, {"Point"})
    assert [(row.number, row.values) for row in rows] == [(1, {"id": "x"}), (2, {}), (3, {"id": "own", "b": 1})]
    assert rows[1].fault


def test_geojson_names_its_datum(tmp_path: Path) -> None:
    """A `crs` in degrees is understood: EPSG:4490 is CGCS2000."""
    content = b'{"type":"FeatureCollection","features":[],"crs":{"properties":{"name":"urn:ogc:def:crs:EPSG::4490"}}}'
    assert GeoJsonFile(write(tmp_path, "a.geojson", content)).survey().datum == "CGCS2000"


def test_format_by_extension() -> None:
    """The extension tells the format, unless it is named."""
    assert format_of(Path("a.GEOJSON"), None) == "geojson"
    assert format_of(Path("a.dat"), "csv") == "csv"
    with pytest.raises(ImportFailed, match="--format"):
        format_of(Path("a.dat"), None)
