"""What the author of a change can have known: when it was made at the earliest, and where its record lay then."""

from typing import Any

import msgspec

from field_schemas.record import RecordType
from sync.attention import FOR_PEOPLE
from sync.authority import Actor
from sync.draft import Draft, Workspace
from sync.forms import change_now
from sync.messages import Change

LOOKED_BACK = 250
"""Changes of a record that are looked through for where it lay."""
_fields = msgspec.msgpack.Decoder(dict[str, Any]).decode


async def possible_ms(work: Workspace, change: Change, actor: Actor, told_ms: int, received_ms: int) -> int:
    """When a change was captured that says `told_ms`: no earlier than it can have been by what the server knows.

    Its device had sent everything before, and its author had seen the version it is based on. Looked up only where
    it matters: when the author's grants have changed since the time that the device claims.
    """
    seen = [one.received_ms for one in await work.history(change.record) if 0 < one.version <= change.base]
    return min(max([told_ms, actor.sent_all_ms, *seen]), received_ms)


async def places_known(
    work: Workspace, spec: RecordType[Any], draft: Draft, change: Change, actor: Actor, told_ms: int
) -> tuple[str, ...]:
    """The scopes by which a change of a living record is permitted: where it lies, and where its author saw it if
    others have moved it since.

    A move that came before the device had last sent everything was told to it; one from before `told_ms` (UTC)
    counts as told. What people are to decide follows its record, and power over it goes along. Who has missed more
    than LOOKED_BACK changes of a record counts by where it lies.
    """
    moved = [name for name in spec.scope_fields if name in draft.marks and draft.marks[name].version > change.base]
    if not moved or change.delete or draft.deleted or draft.type != spec.name or spec.name in FOR_PEOPLE:
        return draft.scopes
    seen = {name: draft.fields.get(name) for name in spec.scope_fields}
    open_fields = set(moved)
    recent = (await work.history(draft.id))[-LOOKED_BACK:]
    for one in sorted(recent, key=lambda one: -one.version):
        if one.version <= change.base or not open_fields:
            break
        before = _fields(change_now(spec, one).before)
        if one.device == actor.device or one.received_ms < max(actor.sent_all_ms, told_ms):
            open_fields -= before.keys()
        seen |= {name: before[name] for name in open_fields & before.keys()}
    else:
        if len(recent) == LOOKED_BACK:
            return draft.scopes
    return tuple({*draft.scopes, *spec.scopes(seen, draft.owner)})
