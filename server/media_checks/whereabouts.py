"""Where a record lies: its position or area, and the unit grid it counts to."""

import msgspec

from field_schemas.places import Area, Position
from field_schemas.registry import Registry
from field_schemas.scopes import feed_key
from server.media_checks.matters import fields_of
from sync.storage import ReadTransaction, StoredRecord

_UNIT_GRID = "unit_grid"
_GRID, _GRID_DIGITS = "grid:", 15


def place_of(registry: Registry, record: StoredRecord) -> Position | Area | None:
    """The place that a record states."""
    spec = registry.get(record.type)
    value = fields_of(record).get(spec.place) if spec.place else None
    if value is None:
        return None
    return msgspec.convert(value, Area) if "rings" in value else msgspec.convert(value, Position)


async def grid_of(tx: ReadTransaction, record: StoredRecord) -> Area | None:
    """The boundary of the unit grid a record lies in; None where it names but a street, or no such grid is known."""
    codes = (scope for scope in record.scopes if scope.startswith(_GRID))
    scope = next((scope for scope in codes if len(scope) == len(_GRID) + _GRID_DIGITS), None)
    if scope is None:
        return None
    async for page in tx.members(feed_key(scope)):
        for member in page:
            if member.type == _UNIT_GRID and scope in member.scopes:
                grid = (await tx.records([member.record]))[member.record]
                return msgspec.convert(fields_of(grid)["boundary"], Area)
    return None
