"""What people do about conflicts, refusals and changes that went wrong."""

import uuid
from typing import Any

import msgspec

from client_sdk.attending import OFFERED, STANDING
from client_sdk.errors import Offline, Rejected
from client_sdk.histories import HistoryItem
from client_sdk.simulation.phone import Phone
from client_sdk.simulation.trace import named
from client_sdk.simulation.types import Sample
from field_schemas.record import Record
from field_schemas.types.attention import Conflict, FieldConflict, Refusal


async def assign(phone: Phone) -> None:
    """Let somebody deal with a conflict or refusal."""
    items: list[Conflict | Refusal] = [*await phone.device.conflicts(), *await phone.device.refusals()]
    if not items:
        return
    item, user = phone.rng.choice(items), phone.rng.choice((None, "user-1", "user-2", "user-3"))
    await phone.device.assign(item, user)
    phone.say(f"assigns {named(item)} to {user}")


async def resolve(phone: Phone) -> None:
    """Settle a conflict, field by field: one side, another value, or nothing said."""
    conflicts = await phone.device.conflicts()
    if not conflicts:
        return
    conflict = phone.rng.choice(conflicts)
    choices = {row.field: _choices(row) for row in conflict.differences if phone.rng.random() < 0.9}
    values = {field: phone.rng.choice(sides) for field, sides in choices.items()}
    await phone.device.resolve(conflict, values)
    phone.say(f"resolves {named(conflict)}: {values}")
    phone.happened["resolved"] += 1


async def answer_refusal(phone: Phone) -> None:
    """Send a refused change again, perhaps corrected; let the server make it after all; or let it be."""
    refusals = await phone.device.refusals()
    if not refusals:
        return
    refusal = phone.rng.choice(refusals)
    told = f"{named(refusal)} ({refusal.code})"
    roll = phone.rng.random()
    if roll < 0.4:
        await phone.device.resend(refusal, **_correction(phone, refusal))
        phone.say(f"resends {told}")
        phone.happened["resent"] += 1
    elif roll < 0.7:
        await phone.device.apply_refused(refusal)
        phone.say(f"has {told} applied")
        phone.happened["applied after refusal"] += 1
    else:
        await phone.device.dismiss(refusal)
        phone.say(f"dismisses {told}")


async def undo(phone: Phone) -> None:
    """Take back one of the changes of a record, its last one mostly, once the network tells them."""
    samples = await phone.device.find(Sample)
    if not samples:
        return
    record = phone.rng.choice(samples[:3])
    try:
        items = await phone.device.history(record)
    except (Offline, Rejected) as error:
        phone.say(f"history of {named(record)}: {error}")
        return
    effective = [item for item in items if item.before and not item.deletes]
    if effective:
        await _undo(phone, record, phone.rng.choice(effective[-2:]))


async def _undo(phone: Phone, record: Record, item: HistoryItem) -> None:
    before = {row.change.id for row in phone.tables.outbox.all()}
    result = await phone.device.undo(item)
    phone.say(f"undoes change {item.change.hex[-6:]} of {named(record)}, but for {result.kept}")
    phone.happened["undone"] += 1
    made = [row.change for row in phone.tables.outbox.all() if row.change.id not in before]
    taken_back: list[dict[str, Any]] = [msgspec.msgpack.decode(change.fields) for change in made]
    ought = -item.patch["total"] if "total" in item.before else None
    steps = {fields.get("total") for fields in taken_back} or {None}
    if steps != {ought}:
        phone.violated("undo_counts_back", f"the undo of {item.change} counts {steps} back instead of {ought}")


def _choices(row: FieldConflict) -> tuple[Any, ...]:
    return OFFERED, STANDING, row.base, row.offered


def _correction(phone: Phone, refusal: Refusal) -> dict[str, Any]:
    if refusal.record_type != "sample" or phone.rng.random() < 0.5:
        return {}
    return {"last": f"corrected {uuid.UUID(int=phone.rng.getrandbits(128)).hex[-4:]}"}
