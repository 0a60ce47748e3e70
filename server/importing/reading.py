"""Rows of CSV and GeoJSON files, one at a time, with where they stand in the file.

A file is read twice: `survey` finds what would stop the import before anything is written, `rows` then gives the
rows. Neither holds all rows in memory.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec

from server.importing.problems import ImportFailed

_FORMATS = {".csv": "csv", ".txt": "csv", ".tsv": "csv", ".geojson": "geojson", ".json": "geojson"}
FORMATS = ("csv", "geojson")


class Geometry(msgspec.Struct, frozen=True):
    """A GeoJSON geometry (RFC 7946) as read."""

    type: str
    coordinates: Any = None


class Row(msgspec.Struct, gc=False):
    """One row: its line (CSV) or number from 1 (GeoJSON), and its values by column.

    `fault` says why the row could not be read; the values are empty then.
    """

    number: int
    values: dict[str, Any]
    geometry: Geometry | None = None
    fault: str | None = None


class Survey(msgspec.Struct):
    """What a file holds: columns in order, how many rows, kinds of geometry, a datum that the file itself names."""

    columns: list[str]
    rows: int
    geometries: set[str]
    datum: str | None = None


class TableFile(Protocol):
    """A file that can be imported."""

    def survey(self) -> Survey:
        """Read the whole file once. Raises ImportFailed when it cannot be imported at all."""

    def rows(self) -> Iterator[Row]:
        """The rows in the order of the file."""


def format_of(path: Path, named: str | None) -> str:
    """`csv` or `geojson`, as `named` or by the file's extension. Raises ImportFailed."""
    found = named or _FORMATS.get(path.suffix.lower())
    if found is None:
        raise ImportFailed(
            f"从扩展名看不出 {path.name} 的格式，请加 --format csv 或 --format geojson",
            f"the name {path.name} does not tell the format: add --format csv or --format geojson",
        )
    return found


def not_text(path: Path, encoding: str) -> ImportFailed:
    """The failure of a file whose bytes are not text in `encoding`."""
    return ImportFailed(
        f"{path.name} 不是 {encoding} 编码；中文表格常用 --encoding GB18030",
        f"{path.name} is not {encoding} text: name its encoding, as in --encoding GB18030",
    )


def not_opened(path: Path, error: OSError) -> ImportFailed:
    """The failure of a file that cannot be opened."""
    return ImportFailed(f"无法打开 {path}：{error.strerror}", f"cannot open {path}: {error.strerror}")
