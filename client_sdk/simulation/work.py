"""What people in the field do, by chance: much of it on few records, so that they meet."""

import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from client_sdk.batch import Batch
from client_sdk.simulation.attending import answer_refusal, assign, resolve, undo
from client_sdk.simulation.phone import Phone
from client_sdk.simulation.programs import FirstSign, Program, SecondSign, ThirdSign
from client_sdk.simulation.trace import named
from client_sdk.simulation.types import STEPS, Sample
from field_schemas.places import Position
from field_schemas.policies import SetOperand
from field_schemas.record import Record
from field_schemas.types.component import Component
from field_schemas.types.finding import FINDING_STATES, Finding, Note
from field_schemas.types.patrol import TASK_STATES, ChecklistAnswer, PatrolTask
from field_schemas.workflow import Workflow

GRIDS = ("440304001001001", "440304001001002", "440304001002001", "440304002001001")
PLACE = Position(114.05, 22.54)
_WORKED_ON = (Sample, Sample, Sample, Component, Finding, PatrolTask, Note)
_SIGNS = 0.25
"""How much of the work is on the type that programs of different ages know differently."""
_WORDS = ("a", "b", "c", "d")


class Action(NamedTuple):
    """Something to do, and how often relative to the rest."""

    weight: int
    work: Callable[[Phone], Awaitable[None]]


async def create(phone: Phone) -> None:
    """Make a record."""
    made = await phone.device.create(_new(phone))
    phone.say(f"creates {named(made)}")
    _keep(phone, made)


async def update(phone: Phone) -> None:
    """Change one or two fields of a record as it is now."""
    record = await _some(phone)
    if record is None:
        return
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
        made = batch.create(_new(phone))
        if record is not None:
            _change_in(batch, phone.rng, record)
            _change_in(batch, phone.rng, record)
        if phone.rng.random() < 0.2:
            batch.delete(made)
    phone.say(f"makes {named(made)}, changes {named(record) if record else 'nothing'} in one batch")


async def sync(phone: Phone) -> None:
    """Sync, and wait for it."""
    await phone.sync()


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
    seconds = phone.rng.choice((20, 300, 3_600, 20_000)) * phone.rng.random()
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
    Action(50, update),
    Action(20, update_what_was_seen),
    Action(2, delete),
    Action(5, several_at_once),
    Action(12, resolve),
    Action(14, answer_refusal),
    Action(2, assign),
    Action(4, undo),
    Action(7, sync),
    Action(12, sync_meanwhile),
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


def _keep(phone: Phone, record: Record) -> None:
    phone.looked_at = [*phone.looked_at, record][-6:]


async def _some(phone: Phone) -> Record | None:
    """One of the records on the device, mostly one of the oldest, which others work on too."""
    crowded = phone.rng.random() < 0.7
    kind = Sample if crowded else phone.rng.choice(_WORKED_ON)
    records: list[Any] = await phone.device.find(phone.program.sign if phone.rng.random() < _SIGNS else kind)
    if not records:
        return None
    record: Record = phone.rng.choice(records[:3] if crowded else records)
    _keep(phone, record)
    return record


async def _update(phone: Phone, record: Record) -> None:
    fields = _fields(phone.rng, record)
    await phone.device.update(record, **fields)
    told = ", ".join(f"{name}={value!r}" for name, value in fields.items())
    phone.say(f"updates {named(record)}, seen at {record.version}: {told}")


def _change_in(batch: Batch, rng: random.Random, record: Record) -> None:
    batch.update(record, **_fields(rng, record))


def _new(phone: Phone) -> Record:
    rng = phone.rng
    grid = _grid(phone)
    word = rng.choice(_WORDS)
    if rng.random() < _SIGNS:
        return _new_sign(phone.program, grid, word)
    match rng.choice(_WORKED_ON):
        case type() as cls if cls is Component:
            return Component(code=word, kind="0101", grid=grid, place=PLACE, inspections=rng.randrange(3))
        case type() as cls if cls is Finding:
            return Finding(kind="0102", grid=grid, text=word)
        case type() as cls if cls is PatrolTask:
            return PatrolTask(subject=word, grid=grid, assignee=rng.choice((None, "user-1", "user-2")))
        case type() as cls if cls is Note:
            return Note(grid=grid, text=word)
    return Sample(
        grid=grid,
        assignee=rng.choice((None, None, "user-1", "user-2")),
        first=rng.choice((None, word)),
        total=rng.randrange(5),
        tags=sorted(rng.sample(_WORDS, 2)),
        secret=rng.choice((None, word)),
    )


def _new_sign(program: Program, grid: str, word: str) -> Record:
    match program.version:
        case 1:
            return FirstSign(grid=grid, text=word, height_cm=12)
        case 2:
            return SecondSign(grid=grid, title=word, height_mm=125)
    return ThirdSign(grid=grid, title=word, height_mm=125, colour=word)


def _grid(phone: Phone) -> str:
    """A grid, mostly one that the phone's user has a grant for."""
    scopes = [grant.scope.removeprefix("grid:") for grant in phone.device.grants]
    own = [grid for grid in GRIDS if any(grid.startswith(scope) for scope in scopes)]
    return phone.rng.choice(own if own and phone.rng.random() < 0.9 else GRIDS)


def _step(rng: random.Random, table: Workflow, state: str) -> str:
    """A state to go to, mostly a legal one."""
    return rng.choice((rng.random() < 0.8 and table.steps_from(state)) or table.states())


def _fields(rng: random.Random, record: Record) -> dict[str, Any]:
    """One or two changed fields of a record."""
    choices = _choices(rng, record)
    names = rng.sample(sorted(choices), min(len(choices), rng.choice((1, 2, 4))))
    return {name: choices[name] for name in names}


def _choices(rng: random.Random, record: Record) -> dict[str, Any]:
    number = rng.randrange(1_000)
    word = rng.choice(_WORDS)
    text = f"{word}{number}"
    moved: dict[str, Any] = {"grid": rng.choice(GRIDS)} if rng.random() < 0.3 else {}
    tags: dict[str, Any] = {"tags": SetOperand(add=[word], remove=[rng.choice(_WORDS)])}
    # What only supervisors may do is tried by all, now and then.
    bold: dict[str, Any] = {"order": text} if rng.random() < 0.15 else {}
    match record:
        case Sample():
            return (
                moved
                | bold
                | {
                    "assignee": rng.choice((None, "user-1", "user-2")),
                    "last": text,
                    "first": text,
                    "total": rng.choice((-2, 1, 5)),
                    "tags": SetOperand(add=[rng.choice(_WORDS)], remove=[rng.choice(_WORDS)]),
                    "entries": [f"{text}-{n}" for n in range(rng.choice((1, 2)))],
                    "most": number,
                    "least": number,
                    "state": _step(rng, STEPS, record.state),
                    "judged": word,
                    "secret": text,
                }
            )
        case Component():
            return moved | {
                "condition": rng.choice(("good", "worn", "damaged")),
                "inspections": 1,
                "tags": SetOperand(add=[word]),
                "remark": text,
            }
        case Finding():
            return moved | {"text": text, "state": _step(rng, FINDING_STATES, record.state), "contact": text}
        case PatrolTask():
            answer = ChecklistAnswer(word, "ok", datetime.fromtimestamp(number, UTC), text)
            return {"answers": [answer], "state": _step(rng, TASK_STATES, record.state), "remark": text}
        case FirstSign():
            return moved | tags | {"text": text, "height_cm": number}
        case SecondSign():
            return moved | tags | {"title": text, "height_mm": number}
        case ThirdSign():
            return moved | tags | {"title": text, "height_mm": number, "colour": text}
    return moved | {"text": text}
