"""Pull after roles were lost: whatever the device may hold and may not see any more, it is told to forget."""

import uuid
from typing import Any

import pytest

from field_schemas.access import Role
from sync.authority import Actor
from sync.messages import Outcome, PullResponse
from tests.unit.builders import GRID, STREET, Office, actor, component, inspector, new_id, supervisor

STREET_SCOPE, COMMUNITY = f"grid:{STREET}", f"grid:{STREET}001"
SHIFT = {"inspector": "li", "grid": GRID, "starts_at": "2026-09-21T08:30:00Z"}


@pytest.fixture
def office() -> Office:
    return Office()


async def read_twice(office: Office, before: Actor, after: Actor) -> PullResponse:
    """What a reader gets who has read everything as `before` and is `after` now."""
    return await office.read(after, (await office.read(before)).cursor)


async def made(office: Office, kind: str, fields: dict[str, Any], author: Actor) -> uuid.UUID:
    """A record that `author` creates."""
    record = new_id()
    verdict = await office.write(author, kind, record, fields)
    assert verdict.outcome is Outcome.APPLIED
    return record


async def test_lost_role_over_a_part_of_a_view_masks_again(office: Office) -> None:
    """Who loses the supervisor's role over one grid, but stays steward of its street, gets its records masked."""
    fields = {"kind": "0102", "grid": GRID, "text": "盖板破损", "contact": "13800000000"}
    record = await made(office, "finding", fields, supervisor())
    before = actor("wang", (STREET_SCOPE, Role.STEWARD), (f"grid:{GRID}", Role.SUPERVISOR))
    page = await read_twice(office, before, actor("wang", (STREET_SCOPE, Role.STEWARD)))
    assert [item.id for item in page.records] == [record]
    assert b"contact" not in bytes(page.records[0].fields)


async def test_record_written_since_is_forgotten_with_the_role(office: Office) -> None:
    """A record that changed between the last pull and the loss of the last role is forgotten all the same."""
    li = inspector("li")
    record = await made(office, "finding", {"kind": "0102", "grid": GRID, "text": "盖板破损"}, li)
    cursor = (await office.read(li)).cursor
    await office.write(supervisor(), "finding", record, {"priority": "urgent"}, base=1)
    assert (await office.read(actor("li"), cursor)).forget == [record]


async def test_narrower_grant_that_remains_does_not_keep_the_wider_ones_records(office: Office) -> None:
    """Who was inspector of a street, and is only steward of a part of it, forgets the part's shifts."""
    record = await made(office, "patrol_shift", SHIFT, inspector("li"))
    await made(office, "component", component(), inspector("li"))
    page = await read_twice(office, inspector("wang"), actor("wang", (COMMUNITY, Role.STEWARD)))
    assert page.forget == [record]


async def test_new_reader_is_told_to_forget_nothing(office: Office) -> None:
    """Whoever reads for the first time does not hear of the ids of what is not theirs."""
    await made(office, "patrol_shift", SHIFT, inspector("li"))
    assert (await office.read(actor("wang", (COMMUNITY, Role.STEWARD)))).forget == []
