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
from field_schemas.access import Role
from field_schemas.types.attention import Conflict, FieldConflict, Refusal


def supervises(phone: Phone) -> bool:
    """Whether the phone's user is a supervisor of something, by what the phone knows."""
    return any(grant.role is Role.SUPERVISOR for grant in phone.device.grants)


async def assign(phone: Phone) -> None:
    """Let somebody deal with a conflict or refusal."""
    items: list[Conflict | Refusal] = [*await phone.device.conflicts(), *await phone.device.refusals()]
    if not items:
        return
    item, user = phone.rng.choice(items), phone.rng.choice((None, "user-1", "user-2", "user-3"))
    await phone.device.assign(item, user)
    phone.say(f"assigns {named(item)} to {user}")


async def attend(phone: Phone) -> bool:
    """Deal with one of the things that wait for somebody; whether there was one. Supervisors look at conflicts first,
    others, who may not settle them, seldom."""
    waiting = await phone.device.needs_attention()
    conflicts = [one for one in waiting if one.kind == "conflict"]
    refusals = [one for one in waiting if one.kind == "refusal"]
    if conflicts and phone.rng.random() < (0.7 if supervises(phone) or not refusals else 0.1):
        await _resolve(phone, phone.rng.choice(conflicts).id)
    elif refusals:
        await _answer(phone, phone.rng.choice(refusals).id)
    return bool(waiting)


async def _resolve(phone: Phone, found: uuid.UUID) -> None:
    """Settle a conflict, field by field: one side, another value, or nothing said."""
    conflict = await phone.device.get(Conflict, found)
    if conflict is None:
        return
    choices = {row.field: _choices(row) for row in conflict.differences if phone.rng.random() < 0.9}
    values = {field: phone.rng.choice(sides) for field, sides in choices.items()}
    await phone.device.resolve(conflict, values)
    phone.say(f"resolves {named(conflict)}: {values}")
    phone.happened["resolved"] += 1


async def _answer(phone: Phone, found: uuid.UUID) -> None:
    """Send a refused change again, perhaps corrected; let the server make it after all; or let it be."""
    refusal = await phone.device.get(Refusal, found)
    if refusal is None:
        return
    told = f"{named(refusal)} ({refusal.code})"
    roll = phone.rng.random()
    resends, applies = (0.3, 0.6) if supervises(phone) else (0.6, 0.1)
    if roll < resends:
        await phone.device.resend(refusal, **await _correction(phone, refusal))
        phone.say(f"resends {told}")
        phone.happened["resent"] += 1
    elif roll < resends + applies:
        await phone.device.apply_refused(refusal)
        phone.say(f"has {told} applied")
        phone.happened["applied after refusal"] += 1
    else:
        await phone.device.dismiss(refusal)
        phone.say(f"dismisses {told}")


async def undo(phone: Phone) -> None:
    """Take back a change that was seen in a record's history, now or a while ago: the last ones mostly."""
    if phone.rng.random() < 0.7 or not phone.looked_up:
        await _look_up(phone)
    if phone.looked_up and phone.rng.random() < 0.7:
        await _undo(phone, phone.looked_up.pop(phone.rng.randrange(len(phone.looked_up))))


async def _look_up(phone: Phone) -> None:
    """Read the history of a record, once the network tells it."""
    samples = await phone.device.find(Sample)
    if not samples:
        return
    record = phone.rng.choice(samples[:3])
    try:
        items = await phone.device.history(record)
    except (Offline, Rejected) as error:
        phone.say(f"history of {named(record)}: {error}")
        return
    phone.looked_up = [item for item in items if item.before and not item.deletes][-3:]


async def _undo(phone: Phone, item: HistoryItem) -> None:
    before = {row.change.id for row in phone.tables.outbox.all()}
    result = await phone.device.undo(item)
    phone.say(f"undoes change {item.change.hex[-6:]} of {named(result.record)}, but for {result.kept}")
    phone.happened["undone"] += 1
    made = [row.change for row in phone.tables.outbox.all() if row.change.id not in before]
    taken_back: list[dict[str, Any]] = [msgspec.msgpack.decode(change.fields) for change in made]
    ought = -item.patch["total"] if "total" in item.before else None
    steps = {fields.get("total") for fields in taken_back} or {None}
    if steps != {ought}:
        phone.violated("undo_counts_back", f"the undo of {item.change} counts {steps} back instead of {ought}")


def _choices(row: FieldConflict) -> tuple[Any, ...]:
    return OFFERED, STANDING, row.base, row.offered


async def _correction(phone: Phone, refusal: Refusal) -> dict[str, Any]:
    """What is set otherwise than it was refused: mostly what stood in the way."""
    sample = await phone.device.get(Sample, refusal.record)
    if sample is None or phone.rng.random() < 0.3:
        return {}
    match refusal.code:
        case "transition_illegal":
            return {"state": sample.state}
        case "already_set":
            return {"first": sample.first}
    return {"last": f"corrected {uuid.UUID(int=phone.rng.getrandbits(128)).hex[-4:]}"}
