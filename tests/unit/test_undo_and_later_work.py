"""What was written after a change is not taken back with it."""

from pathlib import Path

import pytest

from field_schemas.types.component import Component
from sync.messages import Outcome
from tests.fake_server import FakeServer
from tests.phones import city, phone
from tests.phones import component as a_component
from tests.unit.builders import Office, component, inspector, new_id


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.mark.parametrize(
    ("field", "outcome"), [("remark", Outcome.MERGED), ("condition", Outcome.CONFLICT)], ids=["last writer", "review"]
)
async def test_later_work_stays(office: Office, field: str, outcome: Outcome) -> None:
    """An undo leaves a field that was set again since, even by the same device: kept, or disputed where it is for
    review; the rest of the change is taken back."""
    li, record = inspector("li"), new_id()
    values = {"remark": ("zero", "one", "two"), "condition": ("good", "worn", "damaged")}[field]
    await office.write(li, "component", record, component(**{field: values[0]}))
    wrong = await office.write(li, "component", record, {field: values[1], "inspections": 2}, base=1)
    later = await office.write(li, "component", record, {field: values[2]}, base=wrong.version)
    back = {field: values[0], "inspections": -2}
    undo = await office.write(li, "component", record, back, base=later.version, undoes=wrong.change)
    assert undo.outcome is outcome
    fields = await office.fields(record)
    assert (fields[field], fields["inspections"]) == (values[2], 0)


@pytest.mark.parametrize(
    "patch",
    [
        {"remark": "two"},
        {"remark": None},
        {"inspections": -3},
        {"inspections": 2},
        {"tags": {"remove": ["a"]}},
        {"tags": {"add": ["b"], "remove": ["a"]}},
        {"remark": "zero", "name": "x"},
        {},
    ],
)
async def test_nothing_else_passes_for_an_undo(office: Office, patch: dict[str, object]) -> None:
    """What sets other values than those before the change, or more, is no undo, and the true one stays open."""
    li, record = inspector("li"), new_id()
    await office.write(li, "component", record, component(remark="zero"))
    done = {"remark": "one", "inspections": 2, "tags": {"add": ["a", "b"]}}
    wrong = await office.write(li, "component", record, done, base=1)
    passed = await office.write(li, "component", record, patch, base=wrong.version, undoes=wrong.change)
    assert passed.code == "value_invalid"
    back = {"remark": "zero", "inspections": -2, "tags": {"remove": ["b", "a"]}}
    undo = await office.write(li, "component", record, back, base=wrong.version, undoes=wrong.change)
    assert undo.outcome is Outcome.APPLIED


async def test_undo_names_later_work_as_kept(tmp_path: Path) -> None:
    """A device that knows of later work names the field as kept and sends no undo of it."""
    server: FakeServer = city()
    async with phone(tmp_path, server, "li") as li:
        made = await li.create(a_component(condition="good"))
        await li.sync()
        for condition in ("worn", "damaged"):
            seen = await li.get(Component, made.id)
            assert seen is not None
            await li.update(seen, condition=condition)
            await li.sync()
        _, wrong, _ = await li.history(made)
        result = await li.undo(wrong)
        assert (result.kept, (await li.sync()).pushed) == (["condition"], 0)
