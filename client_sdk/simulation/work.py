"""What people in the field do, by chance: much of it on few records, so that they meet."""

import random
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from client_sdk.batch import Batch
from client_sdk.simulation.attending import assign, attend, supervises, undo
from client_sdk.simulation.hands import hand_on, sign_in, sign_out
from client_sdk.simulation.material import SIGNS, WORKED_ON, new_record, some_fields
from client_sdk.simulation.phone import Phone
from client_sdk.simulation.trace import named
from client_sdk.simulation.types import Sample
from field_schemas.record import Record


class Action(NamedTuple):
    """Something to do, and how often relative to the rest."""

    weight: int
    work: Callable[[Phone], Awaitable[None]]


async def create(phone: Phone) -> None:
    """Make a record."""
    made = await phone.device.create(new_record(phone))
    phone.say(f"creates {named(made)}")
    _keep(phone, made)


async def update(phone: Phone) -> None:
    """Change a few fields of a record as it is now; a phone without any is synced."""
    record = await _some(phone)
    if record is None:
        await phone.sync()
    else:
        await _update(phone, record)


async def update_what_was_seen(phone: Phone) -> None:
    """Change a record as it was on the screen a while ago."""
    if phone.looked_at:
        await _update(phone, phone.rng.choice(phone.looked_at))


async def delete(phone: Phone) -> None:
    """Delete a record."""
    record = await _some(phone)
    if record is not None:
        await phone.device.delete(record)
        phone.say(f"deletes {named(record)}")


async def several_at_once(phone: Phone) -> None:
    """Make, change and perhaps delete in one batch."""
    record = await _some(phone)
    async with phone.device.batch() as batch:
        made = batch.create(new_record(phone))
        if record is not None:
            _change_in(batch, phone.rng, record)
            _change_in(batch, phone.rng, record)
        if phone.rng.random() < 0.2:
            batch.delete(made)
    phone.say(f"makes {named(made)}, changes {named(record) if record else 'nothing'} in one batch")


async def go_on(phone: Phone) -> None:
    """Deal with what waits for somebody, supervisors mostly, or else change a record."""
    minded = phone.rng.random() < (0.7 if supervises(phone) else 0.25)
    if not (minded and await attend(phone)):
        await update(phone)


async def sync(phone: Phone) -> None:
    """Sync, wait for it, and deal with what waits for somebody then."""
    if await phone.sync() is not None:
        await attend(phone)


async def verify(phone: Phone) -> None:
    """Have the copies proven equal to the server's."""
    await phone.verify()


async def sync_meanwhile(phone: Phone) -> None:
    """Sync in the background."""
    phone.begin_sync()


async def cancel_sync(phone: Phone) -> None:
    """Change one's mind about that."""
    await phone.cancel_sync()


async def lose_network(phone: Phone) -> None:
    """Go into a basement, for up to hours."""
    seconds = phone.rng.choice((20, 300, 300, 10_000)) * phone.rng.random()
    phone.say(f"has no network for {seconds:.0f} s")
    phone.link.cut(seconds)


async def doom(phone: Phone) -> None:
    """Crash at one of the next steps on disk."""
    phone.disk.steps_to_live = phone.rng.randrange(12)


async def restart(phone: Phone) -> None:
    """Close the app in order, and open it."""
    await phone.close()
    await phone.open()
    phone.say("closed and opened the app")


async def update_app(phone: Phone) -> None:
    """Install the next version of the app."""
    await phone.update_app()


async def set_clock(phone: Phone) -> None:
    """Turn the wall clock."""
    phone.say(f"has a clock that is wrong by {phone.clock.jump()} ms")


async def back_up(phone: Phone) -> None:
    """Copy the store."""
    phone.disk.back_up()
    phone.say("copies its store")


async def restore_backup(phone: Phone) -> None:
    """Go back to the copy."""
    await phone.restore_backup()


async def lose_phone(phone: Phone) -> None:
    """Lose it for good."""
    await phone.lose()


ACTIONS = (
    Action(8, create),
    Action(76, go_on),
    Action(20, update_what_was_seen),
    Action(2, delete),
    Action(5, several_at_once),
    Action(2, assign),
    Action(9, undo),
    Action(12, sync),
    Action(20, sync_meanwhile),
    Action(1, verify),
    Action(3, cancel_sync),
    Action(3, lose_network),
    Action(4, doom),
    Action(1, restart),
    Action(2, update_app),
    Action(2, set_clock),
    Action(2, back_up),
    Action(2, restore_backup),
    Action(1, lose_phone),
)

CHANGING_HANDS = (
    Action(2, sign_out),
    Action(4, sign_in),
    Action(3, hand_on),
)
"""Beside the others, on days that see it."""


def _keep(phone: Phone, record: Record) -> None:
    phone.looked_at = [*phone.looked_at, record][-6:]


async def _some(phone: Phone) -> Record | None:
    """One of the records on the device, mostly one of the oldest, which others work on too."""
    crowded = phone.rng.random() < 0.7
    kind = Sample if crowded else phone.rng.choice(WORKED_ON)
    records: list[Any] = await phone.device.find(phone.program.sign if phone.rng.random() < SIGNS else kind)
    if not records:
        return None
    record: Record = phone.rng.choice(records[:3] if crowded else records)
    _keep(phone, record)
    return record


async def _update(phone: Phone, record: Record) -> None:
    fields = some_fields(phone.rng, record)
    await phone.device.update(record, **fields)
    told = ", ".join(f"{name}={value!r}" for name, value in fields.items())
    phone.say(f"updates {named(record)}, seen at {record.version}: {told}")


def _change_in(batch: Batch, rng: random.Random, record: Record) -> None:
    batch.update(record, **some_fields(rng, record))
