"""The history of a record as a person reads it."""

import uuid

import pytest

from server.cli.history import moment_within
from server.record_history import FieldChange, Step, steps_of
from sync.messages import Outcome
from tests.unit.builders import Office, component, inspector, new_id, supervisor


async def told(office: Office, record: uuid.UUID) -> list[Step]:
    """The steps of a record's history."""
    async with office.store.reading() as tx:
        return steps_of(await tx.history(record), (await tx.records([record])).get(record))


async def test_values_before_and_after() -> None:
    """What a field became is told as it stood, whatever its policy: counters as totals, sets as their elements."""
    office, li, boss = Office(), inspector("li"), supervisor()
    record = new_id()
    made = await office.write(boss, "component", record, component())
    await office.write(li, "component", record, {"inspections": 2}, base=made.version)
    await office.write(boss, "component", record, {"inspections": 3}, base=made.version)
    steps = await told(office, record)
    assert [step.fields for step in steps[1:]] == [
        [FieldChange("inspections", 0, 2, True)],
        [FieldChange("inspections", 2, 5, True)],
    ]


async def test_the_first_change_creates() -> None:
    """All that the first change sets is new."""
    office = Office()
    record = new_id()
    await office.write(supervisor(), "component", record, component())
    (step,) = await told(office, record)
    assert all(change.old is None and change.applied for change in step.fields)
    assert {change.field for change in step.fields} == component().keys()


async def test_what_lost_stands_apart() -> None:
    """A value that did not come to stand, in a conflict or beaten by a later one, is told as wished for in vain."""
    office, li, boss = Office(), inspector("li"), inspector("wang")
    record = new_id()
    fields = {"kind": "0102", "grid": component()["grid"], "text": "a"}
    made = await office.write(li, "finding", record, fields)
    await office.write(li, "finding", record, {"text": "b"}, base=made.version)
    late = await office.write(boss, "finding", record, {"text": "c"}, base=made.version)
    assert late.outcome is Outcome.CONFLICT
    assert (await told(office, record))[-1].fields == [FieldChange("text", "b", "c", False)]


async def test_refused_changes_are_told() -> None:
    """A refused change is a step with its code, and its values as wished for."""
    office, li = Office(), inspector("li")
    record = new_id()
    await office.write(supervisor(), "component", record, component())
    await office.write(li, "component", record, {"responsible": "shop"}, base=1)
    refused = (await told(office, record))[-1]
    assert (refused.outcome, refused.code) == (Outcome.REFUSED, "field_denied")
    assert refused.fields == [FieldChange("responsible", None, "shop", False)]


@pytest.mark.parametrize(
    ("error_ms", "bound"),
    [(None, "±?"), (0, "±1 s"), (1_001, "±2 s"), (60_001, "±2 min"), (3_600_001, "±2 h")],
)
def test_error_bounds_are_rounded_up(error_ms: int | None, bound: str) -> None:
    """A bound never promises more than is known."""
    assert moment_within(0, error_ms).endswith(bound)
