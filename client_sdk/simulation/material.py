"""What people in the field write: new records, and changes of those there are."""

import random
from datetime import UTC, datetime
from typing import Any

from client_sdk.simulation.phone import Phone
from client_sdk.simulation.programs import FirstSign, Program, SecondSign, ThirdSign
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
WORKED_ON = (Sample, Sample, Sample, Component, Finding, PatrolTask, Note)
SIGNS = 0.25
"""How much of the work is on the type that programs of different ages know differently."""
_JUDGED = 0.3
"""How often somebody has an opinion beside: what people must settle comes of these."""
_JUDGED_FIELDS = {"judged", "condition"}
_WORDS = ("a", "b", "c", "d")


def new_record(phone: Phone) -> Record:
    """A record as the phone's user would make one."""
    rng = phone.rng
    grid = _grid(phone)
    word = rng.choice(_WORDS)
    if rng.random() < SIGNS:
        return _new_sign(phone.program, grid, word)
    match rng.choice(WORKED_ON):
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


def some_fields(rng: random.Random, record: Record) -> dict[str, Any]:
    """A few changed fields of a record."""
    choices = _choices(rng, record)
    names = set(rng.sample(sorted(choices), min(len(choices), rng.choice((1, 2, 4)))))
    if rng.random() < _JUDGED:
        names |= _JUDGED_FIELDS & choices.keys()
    return {name: choices[name] for name in sorted(names)}


def _choices(rng: random.Random, record: Record) -> dict[str, Any]:
    number = rng.randrange(1_000)
    word = rng.choice(_WORDS)
    text = f"{word}{number}"
    moved: dict[str, Any] = {"grid": rng.choice(GRIDS)} if rng.random() < 0.6 else {}
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
