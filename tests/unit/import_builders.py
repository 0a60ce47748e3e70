"""An import into memory, with everything it did to be looked at."""

import itertools
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from field_schemas.access import Grant, Role
from field_schemas.registry import Registry, load_types
from server.importing.mapping import Mapping
from server.importing.placing import GenerateGrids
from server.importing.problems import BadRow
from server.importing.run import ImportRequest, Summary, Surroundings, import_file
from sync.authority import Actor
from sync.clock import Captured, stamp_at
from sync.decision import Submission
from sync.ids import uuid7
from sync.memory import MemoryStore
from sync.messages import Change, Outcome
from sync.push import push
from sync.storage import LoggedChange, Store, StoredRecord

START_MS = 1_790_000_000_000
GRID = "440304001001001"
COLUMNS = "code,kind,grid,place.lon,place.lat,condition,material,tags,inspections"
LI = Actor("li.na", uuid.UUID(int=77), (Grant("grid:440304", Role.SUPERVISOR), Grant("grid:440304", Role.INSPECTOR)))


class Desk:
    """Where files are imported: a store, a clock that moves with every import, and the bad rows of the last one."""

    def __init__(self, folder: Path, store: Store | None = None) -> None:
        self.folder = folder
        self.memory = MemoryStore(uuid.UUID(int=1))
        self.store: Store = store or self.memory
        self.registry: Registry = load_types()
        self.now_ms = START_MS
        self.bad: list[BadRow] = []
        self._random = (number.to_bytes(10, "big") for number in itertools.count(1))
        self._seq = itertools.count(1)

    def file(self, name: str, content: str | bytes) -> Path:
        """A file with this content."""
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def table(self, *rows: str, columns: str = COLUMNS, name: str = "parts.csv") -> Path:
        """A CSV file of components."""
        return self.file(name, "\n".join([columns, *rows]) + "\n")

    def features(self, *features: tuple[Any, dict[str, Any]], name: str = "parts.geojson", **more: Any) -> Path:
        """A GeoJSON file of (geometry or [lon, lat], properties)."""
        rows = [
            {
                "type": "Feature",
                "geometry": {"type": "Point", "coordinates": shape} if isinstance(shape, list) else shape,
                "properties": properties,
            }
            for shape, properties in features
        ]
        return self.file(name, msgspec.json.encode({"type": "FeatureCollection", "features": rows, **more}))

    async def load(
        self,
        path: Path,
        type: str = "component",  # noqa: A002 - the mapping's own word
        generate: GenerateGrids | None = None,
        rehearse: bool = False,
        stop: Callable[[int, int], None] = lambda done, total: None,
        **mapping: Any,
    ) -> Summary:
        """Import a file, a second after the one before."""
        self.bad.clear()
        self.now_ms += 1_000
        request = ImportRequest(
            path=path, mapping=Mapping(type=type, **mapping), generate=generate, rehearse=rehearse
        )
        around = Surroundings(
            self.store, self.registry, lambda: self.now_ms, lambda size: next(self._random), self.bad.append, stop
        )
        return await import_file(request, around)

    async def edit(self, record: StoredRecord, **fields: Any) -> Outcome:
        """An edit by a person in the field, who has the present version."""
        return await self._push(record, fields, False)

    async def delete(self, record: StoredRecord) -> Outcome:
        """A deletion by a supervisor."""
        return await self._push(record, {}, True)

    async def _push(self, record: StoredRecord, fields: dict[str, Any], delete: bool) -> Outcome:
        self.now_ms += 1_000
        change = Change(
            id=uuid7(self.now_ms, os.urandom),
            seq=next(self._seq),
            type=record.type,
            record=record.id,
            stamp=stamp_at(self.now_ms),
            captured=Captured(self.now_ms, self.now_ms, 0),
            fields=msgspec.Raw(msgspec.msgpack.encode(fields)),
            base=record.version,
            delete=delete,
        )
        async with self.store.writing() as tx:
            (answer,) = await push(tx, self.registry, [Submission(LI, [change], self.now_ms)])
        assert not isinstance(answer, Exception)
        return answer.verdicts[0].outcome

    def records(self, type: str = "component") -> dict[str, StoredRecord]:  # noqa: A002
        """The records of a type in memory, by code, reference or id."""
        found = [record for record in self.memory.state.records.values() if record.type == type]
        return {str(fields_of(record).get("code") or record.id): record for record in found}

    def fields(self, code: str, type: str = "component") -> dict[str, Any]:  # noqa: A002
        """The fields of one record in memory."""
        return fields_of(self.records(type)[code])

    def written(self) -> list[LoggedChange]:
        """All changes in the log, oldest first."""
        return sorted(self.memory.state.log.values(), key=lambda change: change.version)


def fields_of(record: StoredRecord) -> dict[str, Any]:
    """A record's fields."""
    fields: dict[str, Any] = msgspec.msgpack.decode(record.fields)
    return fields


def part(code: str = "A1", **cells: Any) -> str:
    """A line of `Desk.table`."""
    values = {
        "code": code,
        "kind": "0101",
        "grid": GRID,
        "place.lon": "114.05",
        "place.lat": "22.54",
        "condition": "good",
        "material": "铸铁",
        "tags": "",
        "inspections": "",
    } | cells
    return ",".join(str(values[column]) for column in COLUMNS.split(","))
