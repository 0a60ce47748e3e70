"""Where a record was at each change of its history, worked out from the log. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from field_schemas.places import Area, Position
from field_schemas.record import RecordType
from field_schemas.types.values import GridPrefix
from sync.messages import Outcome
from sync.storage import LoggedChange

_fields = msgspec.msgpack.Decoder(dict[str, Any]).decode


class Where(msgspec.Struct, frozen=True):
    """The position of a record, of an area the middle, and the code of the grid it belongs to; None where it has
    none."""

    place: Position | None = None
    grid: str | None = None


def whereabouts(spec: RecordType[Any], changes: Iterable[LoggedChange]) -> list[Where]:
    """Where a record of type `spec` was by each of its `changes`, which are in the type's present form.

    By a change that took effect, where it left the record, whoever had put it there. By a refused one, where it says
    itself, or else where the record was when its author saw it.
    """
    told = list(changes)
    names = {name for name in (spec.place, _grid_field(spec)) if name}
    versions, standing = [0], [dict[str, Any]()]
    for change in sorted((one for one in told if one.version), key=lambda one: one.version):
        said, creates = _fields(change.fields), len(versions) == 1
        effective = names & (said.keys() if creates else said.keys() & _fields(change.before).keys())
        standing.append(standing[-1] | {name: said[name] for name in effective})
        versions.append(change.version)
    found = []
    for change in told:
        refused = change.outcome is Outcome.REFUSED
        known = standing[bisect_right(versions, change.base if refused else change.version) - 1]
        found.append(_where(spec, known | _fields(change.fields) if refused else known))
    return found


def _where(spec: RecordType[Any], fields: Mapping[str, Any]) -> Where:
    grid = _as(GridPrefix, fields.get(_grid_field(spec) or ""))
    return Where(_position(fields.get(spec.place or "")), grid)


def _grid_field(spec: RecordType[Any]) -> str | None:
    return next((rule.field for rule in spec.scope_rules if rule.kind == "grid"), None)


def _position(value: Any) -> Position | None:
    if isinstance(value, dict) and "rings" in value:
        area: Area | None = _as(Area, value)
        return Position(*area.wgs84()) if area else None
    place: Position | None = _as(Position, value)
    return place


def _as(kind: Any, value: Any) -> Any:
    """The value as a `kind`, None where it is none: a refused change may say anything."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return None
