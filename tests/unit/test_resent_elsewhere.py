"""A refused change that its author sends again later, or from another phone."""

import msgspec
import pytest

from sync.authority import Actor
from sync.messages import Outcome
from tests.unit.builders import GRID, Office, component, inspector, new_id, supervisor
from tests.unit.versioned_lamps import PROGRAMS

LATEST = 2**53 - 1


@pytest.fixture
def office() -> Office:
    return Office()


def two_phones() -> tuple[Actor, Actor]:
    """An inspector's revoked phone, and the new one."""
    new = inspector("li")
    return msgspec.structs.replace(new, device=new_id(), revoked=True), new


@pytest.mark.parametrize(
    ("sent", "outcome", "stands"),
    [("damaged", Outcome.CONFLICT, "missing"), ("worn", Outcome.APPLIED, "worn")],
    ids=["as it was", "corrected"],
)
async def test_unseen_work_is_not_overwritten(office: Office, sent: str, outcome: Outcome, stands: str) -> None:
    """What others observed after a refused change is disputed by it, unless the correction sets the field anew."""
    (old, new), record = two_phones(), new_id()
    seen = (await office.write(supervisor(), "component", record, component(condition="good"))).version
    refused = await office.write(old, "component", record, {"condition": "damaged"}, base=seen)
    meanwhile = await office.write(inspector("wang"), "component", record, {"condition": "missing"}, base=seen)
    again = await office.write(
        new, "component", record, {"condition": sent}, base=meanwhile.version, settles=refused.attention
    )
    assert (again.outcome, (await office.fields(record))["condition"]) == (outcome, stands)
    if again.attention:
        (difference,) = (await office.fields(again.attention))["differences"]
        assert (difference["base"], difference["offered"]) == ("good", "damaged")


@pytest.mark.parametrize(("named", "kept"), [({}, "138"), ({"contact": "139"}, "139")], ids=["unnamed", "corrected"])
async def test_private_fields_are_filled_in(office: Office, named: dict[str, str], kept: str) -> None:
    """A correction made where the refused change is not at hand loses none of its private fields."""
    (old, new), record = two_phones(), new_id()
    fields = {"kind": "0102", "grid": GRID, "text": "x"}
    refused = await office.write(old, "finding", record, fields | {"contact": "138"})
    again = await office.write(new, "finding", record, fields | named, settles=refused.attention)
    assert (again.outcome, (await office.fields(record))["contact"]) == (Outcome.APPLIED, kept)


async def test_a_resent_undo_is_the_one_undo(office: Office) -> None:
    """An undo that was refused and is sent again counts as the undo, and leaves later work."""
    (old, new), record = two_phones(), new_id()
    made = await office.write(new, "component", record, component(remark="zero"))
    wrong = await office.write(new, "component", record, {"remark": "one", "inspections": 2}, base=made.version)
    undo = {"remark": "zero", "inspections": -2}
    refused = await office.write(old, "component", record, undo, base=wrong.version, undoes=wrong.change)
    await office.write(inspector("wang"), "component", record, {"remark": "two"}, base=wrong.version)
    again = await office.write(
        new, "component", record, undo, base=LATEST, undoes=wrong.change, settles=refused.attention
    )
    second = await office.write(new, "component", record, undo, base=LATEST, undoes=wrong.change)
    assert (again.outcome, second.code) == (Outcome.MERGED, "already_undone")
    assert (await office.fields(record))["remark"] == "two"


async def test_a_server_that_cannot_read_the_refused_change_takes_none_of_it_for_set_anew() -> None:
    """Where the server does not know what the refused change's program meant, all that is sent again counts as set
    in sight of what that change had seen: what others wrote since is not overwritten unseen."""
    office, record = Office(registry=PROGRAMS[2]), new_id()
    lamp = {"grid": GRID, "title": "路灯", "height_mm": 3100}
    seen = (await office.write(supervisor(), "lamp", record, lamp, type_version=2)).version
    refused = await office.write(inspector("li"), "lamp", record, {"title": "旧"}, base=seen, type_version=3)
    meanwhile = await office.write(inspector("wang"), "lamp", record, {"title": "新"}, base=seen, type_version=2)
    again = await office.write(
        inspector("li"),
        "lamp",
        record,
        {"title": "旧"},
        base=meanwhile.version,
        settles=refused.attention,
        type_version=2,
    )
    assert (refused.code, again.outcome) == ("type_too_new", Outcome.CONFLICT)
