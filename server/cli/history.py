"""gridwalk history"""

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import click
import msgspec

from field_schemas.codes import CODES
from field_schemas.datum import Datum
from field_schemas.labels import Label
from field_schemas.record import RecordType
from field_schemas.registry import Registry
from server.accounts.devices import Devices
from server.cli import tables
from server.cli.session import as_uuid, done, known_types, loaded_settings, now_ms, run
from server.cli.words import CommandFailed, language, say
from server.plain_json import to_json
from server.record_history import FieldChange, Step, steps_of
from server.storage.database import Database
from sync.authority import SERVER_DEVICE
from sync.forms import change_now, record_now
from sync.messages import Outcome
from sync.storage import LoggedChange, StoredRecord

_OUTCOMES = {
    Outcome.APPLIED: Label("已采用", "applied"),
    Outcome.MERGED: Label("已合并", "merged"),
    Outcome.CONFLICT: Label("有冲突", "in conflict"),
    Outcome.REFUSED: Label("已退回", "refused"),
}
_UNITS = ((3_600_000, " h"), (60_000, " min"), (1_000, " s"))
_WRONG_MS = 60_000
"""A device's clock that is off by more than this, and by more than is known for sure, is worth a word."""


class _Found(msgspec.Struct, frozen=True):
    """What the database knows of a record; `devices` are the names of its authors' devices."""

    record: StoredRecord | None
    changes: list[LoggedChange]
    devices: dict[uuid.UUID, str]


@click.command()
@click.argument("record_id", metavar="RECORD")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def history(record_id: str, as_json: bool) -> None:
    """Show every change ever sent for a RECORD 历史: who changed which field when and where, from what to what.

    The time is the estimated true time of capture with its error bound (±? where none is known); a device whose clock
    was wrong is marked. Where is the grid
    and the position of the record as the change left it; of a refused one, as it says. A value that was
    wished for but does not stand, because the change was refused or another one won, is shown in (brackets). All
    fields are shown, also those that few roles may read.

    \b
    Examples:
      gridwalk history 01938c5e-9d40-7b21-a6c2-90f1e2d3c4b5
      gridwalk history 01938c5e-9d40-7b21-a6c2-90f1e2d3c4b5 --json
    """
    known = as_uuid(record_id)
    registry = known_types(loaded_settings().settings)
    found = run(lambda database: _find(database, known, registry))
    if not found.changes:
        raise CommandFailed(f"没有关于记录 {known} 的更改", f"no change was ever sent for record {known}")
    name = _type_name(found)
    steps = steps_of(found.changes, found.record, registry.get(name) if name in registry else None)
    if as_json:
        click.echo(_json(known, found, steps))
    else:
        _print(known, found, steps, registry)


async def _find(database: Database, record: uuid.UUID, registry: Registry) -> _Found:
    async with database.store.reading() as tx:
        stored = (await tx.records([record])).get(record)
        changes = await tx.history(record)
    changes = [change_now(registry.get(one.type), one) if one.type in registry else one for one in changes]
    if stored is not None and stored.type in registry:
        stored = record_now(registry.get(stored.type), stored)
    devices = {device.id: device.name for device in await Devices(database, now_ms).of()}
    return _Found(stored, changes, devices | {SERVER_DEVICE: say("服务器", "server")})


def _json(record: uuid.UUID, found: _Found, steps: list[Step]) -> str:
    head = {
        "record": record,
        "type": _type_name(found),
        "version": found.record.version if found.record else 0,
        "deleted": found.record.deleted if found.record else False,
        "steps": [msgspec.to_builtins(step, builtin_types=(msgspec.msgpack.Ext,)) for step in steps],
    }
    return msgspec.json.format(to_json(head), indent=2).decode()


def _type_name(found: _Found) -> str:
    return found.record.type if found.record else found.changes[0].type


def _print(record: uuid.UUID, found: _Found, steps: list[Step], registry: Registry) -> None:
    name = _type_name(found)
    spec = registry.get(name) if name in registry else None
    label = spec.label.text(language()) if spec else name
    if found.record is None:
        done(f"{label} {record}：服务器上没有该记录", f"{label} {record}: not on the server")
    else:
        state = say("，已删除", ", deleted") if found.record.deleted else ""
        done(
            f"{label} {record}：版本 {found.record.version}{state}",
            f"{label} {record}: version {found.record.version}{state}",
        )
    columns = (
        say("时间", "when"),
        say("谁", "who"),
        say("设备", "device"),
        say("何处", "where"),
        say("裁决", "verdict"),
        say("字段", "field"),
        say("原值 → 新值", "old → new"),
    )
    tables.show(columns, [row for step in steps for row in _rows(step, spec, found.devices)])


def _rows(step: Step, spec: RecordType[Any] | None, devices: Mapping[uuid.UUID, str]) -> Iterator[tuple[str, ...]]:
    device = f"{devices.get(step.device, str(step.device))}{_clock(step)}"
    head = (moment_within(step.captured_ms, step.error_ms), step.user, device, _where(step), _verdict(step))
    lines = [(_label(spec, change.field), _values(change)) for change in step.fields]
    if step.deletes:
        lines.insert(0, ("", say("删除", "deletes the record")))
    for number, line in enumerate(lines or [("", "")]):
        yield (*(head if number == 0 else ("",) * len(head)), *line)


def _clock(step: Step) -> str:
    """That the device's clock was wrong, and by how much."""
    off_ms = (step.wall_ms if step.wall_ms is not None else step.captured_ms) - step.captured_ms
    if step.error_ms is None or abs(off_ms) <= max(_WRONG_MS, step.error_ms):
        return ""
    off = _length(abs(off_ms))
    return say(
        f"（时钟{'快' if off_ms > 0 else '慢'} {off}）", f" (clock {off} {'ahead' if off_ms > 0 else 'behind'})"
    )


def _where(step: Step) -> str:
    place = step.place
    datum = f" {place.datum}" if place and place.datum is not Datum.WGS84 else ""
    position = f"{place.lon:.5f}, {place.lat:.5f}{datum}" if place else ""
    return " ".join(part for part in (step.grid, position) if part)


def _verdict(step: Step) -> str:
    outcome = _OUTCOMES[step.outcome].text(language())
    reason = CODES[step.code].title.text(language()) if step.code in CODES else step.code
    return f"{outcome}: {reason}" if reason else outcome


def _label(spec: RecordType[Any] | None, field: str) -> str:
    return spec.fields[field].label.text(language()) if spec and field in spec.fields else field


def _values(change: FieldChange) -> str:
    if not change.applied:
        return f"({_shown(change.new)})"
    if change.old is None:
        return _shown(change.new)
    return f"{_shown(change.old)} → {_shown(change.new)}"


def _shown(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return "–"
    return value if isinstance(value, str) else to_json(value).decode()


def moment_within(time_ms: int, error_ms: int | None) -> str:
    """A time with how far it may be off."""
    return f"{tables.moment(time_ms)} {_bound(error_ms)}"


def _bound(error_ms: int | None) -> str:
    if error_ms is None:
        return "±?"
    return f"±{_length(error_ms)}"


def _length(time_ms: int) -> str:
    for size, unit in _UNITS:
        if time_ms > size:
            # Rounded up: a bound must not promise more than it holds.
            return f"{-(-time_ms // size)}{unit}"
    return "1 s"
