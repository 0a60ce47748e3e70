"""What was written after a change is not taken back with it."""

import uuid
from pathlib import Path
from typing import Any

import pytest

from field_schemas.types.component import Component
from sync.authority import Actor
from sync.messages import Outcome, Verdict
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


async def test_an_undo_of_what_is_not_there(office: Office) -> None:
    """The undo of a change that the server does not have says so: after a restore it may yet come back."""
    li, record = inspector("li"), new_id()
    made = await office.write(li, "component", record, component(remark="zero"))
    undo = await office.write(li, "component", record, {"remark": "zero"}, base=made.version, undoes=new_id())
    assert undo.code == "change_unknown"


async def test_a_creation_takes_nothing_back(office: Office) -> None:
    """A creation that claims to be an undo is refused."""
    made = await office.write(inspector("li"), "component", new_id(), component(), undoes=new_id())
    assert made.code == "change_unknown"


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


VALUES = {"remark": ("zero", "one", "two"), "condition": ("good", "worn", "damaged")}


async def written(office: Office, author: Actor, record: uuid.UUID, *patches: dict[str, Any]) -> list[Verdict]:
    """One change after the other, each made in sight of the last."""
    verdicts: list[Verdict] = []
    for patch in patches:
        base = verdicts[-1].version if verdicts else 1
        verdicts.append(await office.write(author, "component", record, patch, base=base))
    return verdicts


async def take_back(
    office: Office, author: Actor, record: uuid.UUID, wrong: Verdict, patch: dict[str, Any]
) -> Verdict:
    """The undo of a change as a device sends it: based on the version the change made."""
    return await office.write(author, "component", record, patch, base=wrong.version, undoes=wrong.change)


@pytest.mark.parametrize("field", VALUES)
@pytest.mark.parametrize("second", ["li", "wang"])
async def test_two_changes_are_taken_back_one_after_the_other(office: Office, field: str, second: str) -> None:
    """A change that was taken back and its undo are no later work: the change before them can be taken back too."""
    zero, one, two = VALUES[field]
    li, record = inspector("li"), new_id()
    await office.write(li, "component", record, component(**{field: zero}))
    first, last = await written(office, li, record, {field: one}, {field: two})
    undos = [
        await take_back(office, li, record, last, {field: one}),
        await take_back(office, inspector(second), record, first, {field: zero}),
    ]
    assert [undo.outcome for undo in undos] == [Outcome.APPLIED] * 2
    assert (await office.fields(record))[field] == zero


async def test_an_undone_undo_is_later_work_again(office: Office) -> None:
    """Once the undo between is taken back itself, the later change stands and stays."""
    li, record = inspector("li"), new_id()
    await office.write(li, "component", record, component(remark="zero"))
    first, last = await written(office, li, record, {"remark": "one"}, {"remark": "two"})
    undo = await take_back(office, li, record, last, {"remark": "one"})
    await take_back(office, li, record, undo, {"remark": "two"})
    tried = await take_back(office, li, record, first, {"remark": "zero"})
    assert (tried.code, (await office.fields(record))["remark"]) == ("nothing_to_undo", "two")


async def test_an_undo_without_effect_is_refused_and_stays_possible(office: Office) -> None:
    """Where all is later work the undo is refused; it can be made when the later change is taken back."""
    li, record = inspector("li"), new_id()
    await office.write(li, "component", record, component(remark="zero"))
    first, last = await written(office, li, record, {"remark": "one"}, {"remark": "two"})
    tried = await take_back(office, li, record, first, {"remark": "zero"})
    await take_back(office, li, record, last, {"remark": "one"})
    undo = await take_back(office, li, record, first, {"remark": "zero"})
    assert (tried.code, undo.outcome) == ("nothing_to_undo", Outcome.APPLIED)
    assert (await office.fields(record))["remark"] == "zero"


async def test_the_same_value_written_again_is_later_work(office: Office) -> None:
    """What somebody wrote after a change stays, be it the same value, also when a third change came and went."""
    li, record = inspector("li"), new_id()
    await office.write(li, "component", record, component(remark="zero"))
    first, _, last = await written(office, li, record, *({"remark": value} for value in ("one", "one", "two")))
    await take_back(office, li, record, last, {"remark": "one"})
    tried = await take_back(office, li, record, first, {"remark": "zero"})
    assert (tried.code, (await office.fields(record))["remark"]) == ("nothing_to_undo", "one")


@pytest.mark.parametrize("field", VALUES)
async def test_later_work_is_what_was_decided_later(office: Office, field: str) -> None:
    """What took effect after a change is later work, also where its server had received it before the other did."""
    li, wang, record = inspector("li"), inspector("wang"), new_id()
    zero, one, _ = VALUES[field]
    await office.write(li, "component", record, component(**{field: zero}))
    wrong = await office.write(li, "component", record, {field: one, "inspections": 2}, base=1)
    office.now -= 1
    await office.write(wang, "component", record, {field: one}, base=1)
    undo = await take_back(office, li, record, wrong, {field: zero, "inspections": -2})
    assert (undo.outcome is Outcome.CONFLICT, (await office.fields(record))[field]) == (field == "condition", one)


async def test_an_element_added_again_stays(office: Office) -> None:
    """The undo of an add leaves what its own device added after it."""
    li, record = inspector("li"), new_id()
    await office.write(li, "component", record, component())
    add, remove = {"tags": {"add": ["x"]}}, {"tags": {"remove": ["x"]}}
    first, *_ = await written(office, li, record, add, remove, add)
    tried = await take_back(office, li, record, first, remove)
    assert (tried.code, (await office.fields(record))["tags"]) == ("nothing_to_undo", ["x"])


async def test_elements_of_an_undo_are_judged_one_by_one(office: Office) -> None:
    """Of the elements a change added only those nobody added since go."""
    li, wang, record = inspector("li"), inspector("wang"), new_id()
    await office.write(li, "component", record, component())
    first = await office.write(li, "component", record, {"tags": {"add": ["x", "y"]}}, base=1)
    await office.write(wang, "component", record, {"tags": {"add": ["x"]}}, base=1)
    undo = await take_back(office, li, record, first, {"tags": {"remove": ["x", "y"]}})
    assert (undo.outcome, (await office.fields(record))["tags"]) == (Outcome.MERGED, ["x"])


async def test_set_changes_are_taken_back_one_after_the_other(office: Office) -> None:
    """An element that was removed and came back by an undo is the first change's again, which can be taken back."""
    li, record = inspector("li"), new_id()
    await office.write(li, "component", record, component())
    add, remove = {"tags": {"add": ["x"]}}, {"tags": {"remove": ["x"]}}
    first, last = await written(office, li, record, add, remove)
    await take_back(office, inspector("wang"), record, last, add)
    undo = await take_back(office, li, record, first, remove)
    assert (undo.outcome, (await office.fields(record))["tags"]) == (Outcome.APPLIED, [])


@pytest.mark.parametrize("field", VALUES)
async def test_a_device_takes_back_its_last_two_changes(tmp_path: Path, field: str) -> None:
    """Undo, then undo again: what the device shows at once is what stands after the sync, and the history says so."""
    zero, one, two = VALUES[field]
    server: FakeServer = city()
    async with phone(tmp_path, server, "li") as li:
        made = await li.create(a_component(**{field: zero}))
        await li.sync()
        for value in (one, two):
            seen = await li.get(Component, made.id)
            assert seen is not None
            await li.update(seen, **{field: value})
            await li.sync()
        for index, value in ((2, one), (1, zero)):
            result = await li.undo((await li.history(made))[index])
            assert (getattr(result.record, field), result.kept) == (value, [])
            await li.sync()
        stands = await li.get(Component, made.id)
        assert getattr(stands, field) == zero
        assert [item.undone is not None for item in await li.history(made)] == [False, True, True, False, False]


async def test_a_second_undo_is_told_of_the_first(office: Office) -> None:
    """Who takes back a value that is taken back already learns that, not that there is later work."""
    li, record = inspector("li"), new_id()
    await office.write(li, "component", record, component(remark="zero"))
    (wrong,) = await written(office, li, record, {"remark": "one"})
    undos = [await take_back(office, li, record, wrong, {"remark": "zero"}) for _ in range(2)]
    assert [undo.code for undo in undos] == [None, "already_undone"]
