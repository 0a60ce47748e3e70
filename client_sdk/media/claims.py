"""What a record on the device claims of a photo, as the server will compare it."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from client_sdk.store.finding import Query, find
from client_sdk.store.thread import Tables
from field_schemas.media import MediaRef
from field_schemas.places import Area, Position
from field_schemas.record import Record, type_of
from media.checks.claims import CaptureTime, Claims
from media.metadata.facts import Origin
from sync.clock import TrustedClock, estimate

_UNIT_GRID = "unit_grid"
_GRID, _GRID_DIGITS = "grid:", 15


class Around(msgspec.Struct, frozen=True):
    """Where the task of a record lies, and the unit grid of one that says no more of its place."""

    task_place: Position | Area | None = None
    grid: Area | None = None


def around(tables: Tables, record: Record) -> Around:
    """What the device's copies say of where a record belongs."""
    task_id = getattr(record, "task", None)
    task = tables.records.get(task_id) if task_id is not None else None
    if task is not None and not task.deleted:
        spec = tables.registry.get(task.type)
        fields: dict[str, Any] = task.decoded()
        value = fields.get(spec.place) if spec.place else None
        if value is not None:
            return Around(task_place=_place(value))
        return Around(grid=_grid(tables, spec.scopes(fields, None)))
    return Around(grid=_grid(tables, type_of(type(record)).scopes(msgspec.to_builtins(record), None)))


def told(ref: MediaRef, origin: Origin) -> MediaRef:
    """`ref` with the time and the place that the file states, so that the record tells them before it has arrived."""
    taken_ms = None if origin.zone == "gps" else origin.taken_ms
    return msgspec.structs.replace(ref, captured_at=_moment(taken_ms), place=origin.position)


def claims_of(record: Record, ref: MediaRef, near: Around, clock: TrustedClock, model: str | None) -> Claims:
    """What `record`, written now, claims of the file that `ref` names."""
    captured = clock.captured()
    bounded = estimate(captured, clock.now_ms())
    spec = type_of(type(record))
    place = getattr(record, spec.place) if spec.place else None
    return Claims(
        digest=ref.digest,
        record=record.id,
        capture=CaptureTime(ms=bounded.ms, error_ms=bounded.error_ms, wall_ms=captured.wall_ms),
        ref=ref,
        position=place if isinstance(place, Position) else None,
        task_place=near.task_place,
        grid=near.grid,
        device=model,
    )


def _grid(tables: Tables, scopes: tuple[str, ...]) -> Area | None:
    codes = (scope.removeprefix(_GRID) for scope in scopes if scope.startswith(_GRID))
    code = next((code for code in codes if len(code) == _GRID_DIGITS), None)
    if code is None:
        return None
    cells = find(tables, Query(tables.registry.get(_UNIT_GRID), equals={"code": code}, limit=1))
    return msgspec.convert(msgspec.msgpack.decode(cells[0].fields)["boundary"], Area) if cells else None


def _place(value: dict[str, Any]) -> Position | Area:
    return msgspec.convert(value, Area) if "rings" in value else msgspec.convert(value, Position)


def _moment(time_ms: int | None) -> datetime | None:
    """A time that a file states, None where no calendar has it."""
    try:
        return None if time_ms is None else datetime.fromtimestamp(time_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None
