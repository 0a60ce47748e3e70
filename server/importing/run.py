"""One import from file to summary."""

import datetime as dt
import uuid
import zoneinfo
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from field_schemas.datum import Datum
from field_schemas.record import FieldError, RecordType
from field_schemas.registry import Registry
from server.importing.binding import bind, grid_field
from server.importing.csv_file import CsvFile
from server.importing.geojson_file import GeoJsonFile
from server.importing.grids import UNIT_GRID, GridIndex, Point
from server.importing.loading import BATCH, Counts, Loader, coded_problem
from server.importing.mapping import Mapping
from server.importing.placing import GenerateGrids, Placer, generate, known_cells, point_of
from server.importing.plan import Item, Plan
from server.importing.problems import BadRow, ImportFailed, RowProblem, bad_row
from server.importing.reading import Row, Survey, TableFile, format_of
from sync.clock import Milliseconds
from sync.ids import RandomBytes
from sync.storage import Store


class ImportRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to import and how; `mapping` holds all that a mapping file can say."""

    path: Path
    mapping: Mapping
    format: str | None = None
    generate: GenerateGrids | None = None
    rehearse: bool = False


class Summary(msgspec.Struct):
    """What an import did: rows read, what became of them, cells generated, columns nothing was taken from."""

    record_type: str
    source: str
    rows: int
    counts: Counts
    cells: int = 0
    unmapped: tuple[str, ...] = ()


class Surroundings(msgspec.Struct, frozen=True):
    """What an import works with: the store, the types, time and chance; where bad rows and progress go."""

    store: Store
    registry: Registry
    now_ms: Milliseconds
    random_bytes: RandomBytes
    report: Callable[[BadRow], None]
    progress: Callable[[int, int], None]
    """Called with rows done and rows in all."""


async def import_file(request: ImportRequest, around: Surroundings) -> Summary:
    """Import a file. Raises ImportFailed, with nothing loaded, when file or mapping do not do as a whole."""
    spec = record_type(around.registry, request.mapping.type)
    file = _open(request)
    survey = file.survey()
    plan = _plan(spec, request, survey)
    return await _Import(spec, request, around, file, survey, plan).run()


def record_type(registry: Registry, name: str | None) -> RecordType[Any]:
    """The type that is named. Raises ImportFailed with the names there are."""
    try:
        return registry.get(name or "")
    except FieldError as error:
        names = ", ".join(sorted(spec.name for spec in registry))
        raise ImportFailed(
            f"没有记录类型 {name!r}，可用的有：{names}", f"there is no record type {name!r}; there are: {names}"
        ) from error


def _open(request: ImportRequest) -> TableFile:
    reader = CsvFile if format_of(request.path, request.format) == "csv" else GeoJsonFile
    return reader(request.path, request.mapping.encoding)


def _plan(spec: RecordType[Any], request: ImportRequest, survey: Survey) -> Plan:
    mapping = request.mapping
    source = mapping.source or request.path.stem
    datum = mapping.datum or survey.datum or Datum.WGS84
    if datum not in list(Datum):
        raise ImportFailed(
            f"没有坐标系 {datum}，可用的有：{'、'.join(Datum)}",
            f"there is no datum {datum}; there are: {', '.join(Datum)}",
        )
    return bind(spec, mapping, survey, source, Datum(datum), _zone(mapping.timezone))


def _zone(name: str | None) -> dt.tzinfo | None:
    if name is None:
        return None
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError) as error:
        raise ImportFailed(
            f"没有时区 {name!r}，请写作 Asia/Shanghai", f"there is no time zone {name!r}: write it as Asia/Shanghai"
        ) from error


class _Import:
    def __init__(
        self,
        spec: RecordType[Any],
        request: ImportRequest,
        around: Surroundings,
        file: TableFile,
        survey: Survey,
        plan: Plan,
    ) -> None:
        self.spec = spec
        self.request = request
        self.around = around
        self.file = file
        self.survey = survey
        self.plan = plan
        self.counts = Counts()
        self.seen: set[uuid.UUID] = set()

    async def run(self) -> Summary:
        placer, cells = await self._placer()
        loader = self._loader(self.spec)
        done = 0
        rows = self.file.rows()
        while batch := list(islice(rows, BATCH)):
            items = self._items(batch)
            if placer is not None:
                items = placer.place(items, self._refuse_item)
            self.counts.add(await loader.load(items))
            done += len(batch)
            self.around.progress(done, self.survey.rows)
        plan = self.plan
        return Summary(self.spec.name, plan.source, done, self.counts, cells, plan.unmapped)

    async def _placer(self) -> tuple[Placer | None, int]:
        """What finds the grids of the rows, if rows of this type have one; and how many cells were made now."""
        field = grid_field(self.spec)
        if field is None:
            return None, 0
        held = await known_cells(self.around.store)
        points = self._points(field) if self.request.generate else []
        if self.request.generate is None or not points:
            return Placer(self.spec, field, GridIndex(held)), 0
        loader = self._loader(self.around.registry.get(UNIT_GRID))
        index, made = await generate(self.request.generate, held, points, loader)
        return Placer(self.spec, field, index), made

    def _points(self, field: str) -> list[Point]:
        """Where the rows lie that name no grid; bad rows do not count."""
        points = []
        for row in self.file.rows():
            try:
                point = point_of(self._item(row), self.spec.place or "", field)
            except RowProblem:
                continue
            if point is not None:
                points.append(point)
        return points

    def _loader(self, spec: RecordType[Any]) -> Loader:
        around, rehearse = self.around, self.request.rehearse
        return Loader(
            around.store, around.registry, spec, around.now_ms, around.random_bytes, around.report, rehearse
        )

    def _items(self, rows: list[Row]) -> list[Item]:
        items = []
        for row in rows:
            try:
                item = self._item(row)
                if item.id in self.seen:
                    raise coded_problem(self.plan.key_field or self.plan.key_column or "", "key_duplicate", item.key)
            except RowProblem as problem:
                self._refuse(row.number, self._key_of(row), problem)
                continue
            self.seen.add(item.id)
            items.append(item)
        return items

    def _item(self, row: Row) -> Item:
        if row.fault is not None:
            raise coded_problem("", "row_malformed", row.fault)
        return self.plan.item(row)

    def _key_of(self, row: Row) -> str:
        """The key of a bad row as far as it can be told."""
        key_field = self.plan.key_field
        try:
            return self.plan.key(row, {name: take(row) for name, take in self.plan.takes if name == key_field})
        except RowProblem:
            return ""

    def _refuse_item(self, item: Item, problem: RowProblem) -> None:
        self._refuse(item.number, item.key, problem)

    def _refuse(self, number: int, key: str, problem: RowProblem) -> None:
        self.around.report(bad_row(number, key, problem))
        self.counts.bad += 1


def batches(items: Iterator[Item]) -> Iterator[list[Item]]:
    """Items in the portions of one transaction."""
    while batch := list(islice(items, BATCH)):
        yield batch
