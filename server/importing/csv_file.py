"""CSV files: UTF-8 with or without BOM, or another encoding; comma, semicolon or tab, whichever splits the header."""

import csv
from collections.abc import Iterator
from pathlib import Path

from server.importing.problems import ImportFailed
from server.importing.reading import Row, Survey, not_opened, not_text

MAX_CELL = 2_000_000
"""Characters of one cell; a polygon can be long."""
_DELIMITERS = ",;\t"


class CsvFile:
    """A CSV file with a header line. Line numbers count physical lines, also within quoted cells."""

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        self.path = path
        # utf-8-sig reads UTF-8 without a byte order mark as well.
        self.encoding = "utf-8-sig" if encoding is None or encoding.lower() in ("utf-8", "utf8") else encoding
        csv.field_size_limit(MAX_CELL)

    def survey(self) -> Survey:
        """Columns and number of rows. Raises ImportFailed for no header, wrong encoding, broken quoting."""
        lines = self._lines()
        _, header = next(lines, (0, []))
        _check_header(self.path.name, header)
        return Survey(header, sum(1 for _ in lines), set())

    def rows(self) -> Iterator[Row]:
        """One row a record; lines without anything in them are passed over."""
        lines = self._lines()
        _, header = next(lines, (0, []))
        width = len(header)
        for number, cells in lines:
            if len(cells) == width:
                yield Row(number, dict(zip(header, cells, strict=True)))
            else:
                yield Row(number, {}, fault=f"{len(cells)} != {width}")

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        """(number of the first line, cells) of the header and each row."""
        try:
            with self.path.open(encoding=self.encoding, newline="") as file:
                delimiter = _delimiter(file.readline())
                file.seek(0)
                reader = csv.reader(file, delimiter=delimiter, strict=True)
                start = 1
                for cells in reader:
                    if any(cells):
                        yield start, cells
                    start = reader.line_num + 1
        except UnicodeDecodeError as error:
            raise not_text(self.path, self.encoding.removesuffix("-sig")) from error
        except LookupError as error:
            raise ImportFailed(f"没有 {self.encoding} 这种编码", f"there is no encoding {self.encoding}") from error
        except csv.Error as error:
            raise ImportFailed(
                f"{self.path.name} 不是合格的 CSV（第 {start} 行起）：{error}",
                f"{self.path.name} is not proper CSV from line {start} on: {error}",
            ) from error
        except OSError as error:
            raise not_opened(self.path, error) from error


def _delimiter(header: str) -> str:
    return max(_DELIMITERS, key=header.count)


def _check_header(name: str, header: list[str]) -> None:
    if not header:
        raise ImportFailed(f"{name} 是空文件，没有表头", f"{name} is empty: it has no header line")
    if any(not column.strip() or _is_number(column) for column in header):
        raise ImportFailed(
            f"{name} 的第一行不是表头（每列都要有名称）",
            f"the first line of {name} is no header: every column needs a name",
        )
    if repeated := sorted({column for column in header if header.count(column) > 1}):
        raise ImportFailed(
            f"{name} 的列名重复：{'、'.join(repeated)}", f"{name} has columns of the same name: {', '.join(repeated)}"
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
