"""Binding a mapping to a record type and the columns of a file. What does not fit stops the import here."""

import datetime as dt
import difflib
import re
from collections.abc import Iterable
from typing import Any

from msgspec import inspect

from field_schemas.datum import Datum
from field_schemas.places import Area, Position
from field_schemas.policies import Policy
from field_schemas.record import RecordType
from server.importing.converting import Convert, as_text, converter, number
from server.importing.geojson_file import ID_COLUMN
from server.importing.geometry import POINTS, POLYGONS, position_of, rings_of
from server.importing.mapping import OTHERWISE, Constant, Mapping
from server.importing.plan import RECORD_ID, RECORD_VERSION, Plan, Take
from server.importing.problems import ImportFailed, RowProblem
from server.importing.reading import Row, Survey
from server.place_fields import field_types, place_class, struct_of

# What of a place can be mapped by itself, as `place.lon`.
_PARTS: dict[Any, tuple[str, ...]] = {Position: ("lon", "lat", "datum", "accuracy_m"), Area: ("datum",)}
_COLUMN_IN_TEMPLATE = re.compile(r"\{([^{}]+)\}")
_SPACES = re.compile(r"\s+")


def bind(
    spec: RecordType[Any], mapping: Mapping, survey: Survey, source: str, datum: Datum, zone: dt.tzinfo | None
) -> Plan:
    """The plan by which rows of a file with these columns become records of `spec`. Raises ImportFailed."""
    return _Binding(spec, mapping, survey, datum, zone).plan(source)


class _Binding:
    def __init__(
        self, spec: RecordType[Any], mapping: Mapping, survey: Survey, datum: Datum, zone: dt.tzinfo | None
    ) -> None:
        self.spec = spec
        self.mapping = mapping
        self.survey = survey
        self._datum = {} if datum is Datum.WGS84 else {"datum": datum.value}
        self.zone = zone
        self.kinds = field_types(spec)
        self.parts = {name: _PARTS[held] for name, kind in self.kinds.items() if (held := struct_of(kind)) in _PARTS}
        self.targets = [*self.kinds, *(f"{name}.{part}" for name, parts in self.parts.items() for part in parts)]
        self.columns = self._columns()

    def plan(self, source: str) -> Plan:
        takes = [(name, self._take(name)) for name in self.kinds if self._is_given(name)]
        takes += [(name, self._position(name)) for name in self.parts if self._is_given(f"{name}.lon")]
        named = {name for name, _ in takes}
        place = self.spec.place
        if place is not None and place not in named and self.survey.geometries:
            takes.append((place, self._geometry(place)))
            named.add(place)
        self._check_required(named)
        key_field, key_column = self._key(named)
        return Plan(
            spec=self.spec,
            source=source,
            takes=tuple(takes),
            key_field=key_field,
            key_column=key_column,
            unmapped=tuple(self._unmapped(key_column)),
            with_versions=key_column == RECORD_ID and RECORD_VERSION in self.survey.columns,
        )

    def _columns(self) -> dict[str, str]:
        """Which column or template each target takes; columns named like a target map by themselves."""
        mapping = self.mapping
        for name in (*mapping.fields, *mapping.set, *mapping.values):
            if name not in self.targets:
                raise _unknown(name, self.targets, f"{self.spec.name} 没有字段", f"{self.spec.name} has no field")
        own = {name: name for name in self.targets if name in self.survey.columns and name not in mapping.set}
        columns = own | mapping.fields
        for name in mapping.values:
            if name not in columns:
                raise ImportFailed(
                    f"{name} 有对照表，但没有对应的列：--map {name}=列名",
                    f"{name} has a table of values but no column: --map {name}=Column",
                )
        for wanted in columns.values():
            for column in _columns_in(wanted):
                if column not in self.survey.columns:
                    raise _unknown(column, self.survey.columns, "文件没有列", "the file has no column")
        return columns

    def _is_given(self, target: str) -> bool:
        return target in self.columns or target in self.mapping.set

    def _take(self, target: str) -> Take:
        """The value of one target: cell or constant, by its value table, in the field's type."""
        convert = self._converter(target)
        if target in self.mapping.set:
            value = convert(self.mapping.set[target])
            return lambda _row: value
        fetch = _fetch(self.columns[target])
        table = self.mapping.values.get(target)
        if table is None:
            return lambda row: convert(fetch(row))
        return lambda row: convert(_translate(table, fetch(row)))

    def _converter(self, target: str) -> Convert:
        field, _, part = target.partition(".")
        if part in ("lon", "lat", "accuracy_m"):
            return number(target)
        if part == "datum":
            return converter(target, inspect.EnumType(Datum), (), None)
        workflow = self.spec.fields[field].workflow
        return converter(target, self.kinds[field], workflow.states() if workflow else (), self.zone)

    def _position(self, name: str) -> Take:
        if not self._is_given(f"{name}.lat"):
            raise ImportFailed(
                f"缺少 --map {name}.lat=列名", f"{name} has a longitude only: add --map {name}.lat=Column"
            )
        parts = self._given_parts(name)

        def take(row: Row) -> Any:
            found = {part: value for part, get in parts if (value := get(row)) is not None}
            return self._datum | _known_place(name, found) if "lon" in found or "lat" in found else None

        return take

    def _geometry(self, name: str) -> Take:
        is_area = place_class(self.spec) is Area
        shape, wanted = (rings_of, POLYGONS) if is_area else (position_of, POINTS)
        if not self.survey.geometries & wanted:
            found = ", ".join(sorted(self.survey.geometries))
            raise ImportFailed(
                f"文件中的几何是 {found}，{self.spec.name} 需要{'多边形' if is_area else '点'}",
                f"the file holds {found}, but {self.spec.name} needs {'polygons' if is_area else 'points'}",
            )
        parts = self._given_parts(name)

        def take(row: Row) -> Any:
            found = shape(name, row.geometry)
            if found is None:
                return None
            return (
                _known_place(name, found)
                | self._datum
                | {part: value for part, get in parts if (value := get(row)) is not None}
            )

        return take

    def _given_parts(self, name: str) -> list[tuple[str, Take]]:
        targets = [(part, f"{name}.{part}") for part in self.parts[name]]
        return [(part, self._take(target)) for part, target in targets if self._is_given(target)]

    def _check_required(self, named: set[str]) -> None:
        derived = grid_field(self.spec)
        missing = [
            name for name in self.kinds if name in self.spec.required and name not in named and name != derived
        ]
        if missing:
            first, columns = missing[0], ", ".join(self.survey.columns)
            raise ImportFailed(
                f"必填字段没有来源：{'、'.join(missing)}；请加 --map {first}=列名 或 --set {first}=值；列：{columns}",
                f"nothing fills {', '.join(missing)}: add --map {first}=Column or --set {first}=value;"
                f" the file's columns are {columns}",
            )

    def _key(self, named: set[str]) -> tuple[str | None, str | None]:
        """(field, column) that holds the key; one of them is None."""
        if self.mapping.key is not None:
            if self.mapping.key not in self.survey.columns:
                raise _unknown(self.mapping.key, self.survey.columns, "文件没有列", "the file has no column")
            return None, self.mapping.key
        first = [name for name, field in self.spec.fields.items() if field.policy is Policy.FIRST_WRITER]
        for name in ("code", *first):
            if name in named and name in self.columns:
                return name, None
        if ID_COLUMN in self.survey.columns:
            return None, ID_COLUMN
        columns = ", ".join(self.survey.columns)
        raise ImportFailed(
            f"不知道哪一列是主键，请加 --key 列名；文件的列：{columns}",
            f"no column is known to tell the rows apart: add --key Column; the columns are {columns}",
        )

    def _unmapped(self, key_column: str | None) -> list[str]:
        used = {column for wanted in self.columns.values() for column in _columns_in(wanted)}
        used |= {key_column or ""} | ({RECORD_VERSION} if key_column == RECORD_ID else set())
        return [column for column in self.survey.columns if column not in used]


def grid_field(spec: RecordType[Any]) -> str | None:
    """The field that can be filled from the position: the grid code of a type whose place is a position."""
    for rule in spec.scope_rules:
        if rule.kind == "grid" and rule.field and place_class(spec) is Position:
            return rule.field
    return None


def _known_place(name: str, found: dict[str, Any]) -> dict[str, Any]:
    """The place, unless it is 0, 0: so files write that they do not know it."""
    if found.get("lon") == 0 and found.get("lat") == 0:
        raise RowProblem(name, "value_invalid", "坐标是 0, 0，位置不明", "the position is 0, 0, which means unknown")
    return found


def _fetch(wanted: str) -> Take:
    """The cell of a column, or the text of a template with its columns put in."""
    if "{" not in wanted:
        return lambda row: row.values.get(wanted)

    def fill(row: Row) -> str:
        text = _COLUMN_IN_TEMPLATE.sub(lambda found: _shown(row.values.get(found[1])), wanted)
        return _SPACES.sub(" ", text).strip()

    return fill


def _shown(value: Any) -> str:
    return "" if value is None else as_text(value)


def _translate(table: dict[str, Constant], cell: Any) -> Any:
    found = table.get(_shown(cell))
    return table.get(OTHERWISE, cell) if found is None else found


def _columns_in(wanted: str) -> list[str]:
    return _COLUMN_IN_TEMPLATE.findall(wanted) if "{" in wanted else [wanted]


def _unknown(name: str, known: Iterable[str], zh: str, en: str) -> ImportFailed:
    names = list(known)
    near = difflib.get_close_matches(name, names, 1)
    return ImportFailed(
        f"{zh} {name!r}；" + (f"是不是 {near[0]}？" if near else f"可用的有：{'、'.join(names)}"),
        f"{en} {name!r}; " + (f"did you mean {near[0]}?" if near else f"there are: {', '.join(names)}"),
    )
