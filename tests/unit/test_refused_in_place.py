"""A refused change that is applied later takes the place it was made in."""

import msgspec
import pytest

from sync.authority import Actor
from sync.messages import Outcome, Verdict
from tests.unit.builders import GRID, Office, component, inspector, new_id, supervisor

LATEST = 2**53 - 1


@pytest.fixture
def office() -> Office:
    return Office()


def revoked(author: Actor) -> Actor:
    """The author's device, whose changes wait for a supervisor."""
    return msgspec.structs.replace(author, revoked=True)


async def apply(office: Office, refused: Verdict) -> Verdict:
    """Let a supervisor apply the change."""
    assert refused.attention is not None
    return await office.write(supervisor(), "refusal", refused.attention, {"state": "applied"}, base=LATEST)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["oldest first", "newest first"])
async def test_applied_in_any_order(office: Office, order: tuple[int, int]) -> None:
    """Of two refused changes of one field, the later one holds, whichever is applied first."""
    li, record = inspector("li"), new_id()
    seen = (await office.write(supervisor(), "component", record, component())).version
    refused = [
        await office.write(revoked(li), "component", record, {"remark": remark}, base=seen)
        for remark in ("first", "second")
    ]
    for one in order:
        assert (await apply(office, refused[one])).outcome is Outcome.APPLIED
    assert (await office.fields(record))["remark"] == "second"


async def test_applied_over_newer_work(office: Office) -> None:
    """What others wrote after a refused change holds when that is applied."""
    li, wang, record = inspector("li"), inspector("wang"), new_id()
    seen = (await office.write(supervisor(), "component", record, component())).version
    refused = await office.write(revoked(li), "component", record, {"remark": "old"}, base=seen)
    office.now += 60_000
    await office.write(wang, "component", record, {"remark": "newer"}, base=seen)
    office.now += 60_000
    await apply(office, refused)
    assert (await office.fields(record))["remark"] == "newer"


async def test_applied_one_after_the_other(office: Office) -> None:
    """A device's refused changes of a reviewed field follow each other when applied, as they did on the device."""
    li, record = inspector("li"), new_id()
    refused = [
        await office.write(revoked(li), "component", record, component(condition="good")),
        await office.write(revoked(li), "component", record, {"condition": "worn"}),
    ]
    for one in refused:
        await apply(office, one)
    assert (await office.fields(record))["condition"] == "worn"


async def test_owner_of_what_is_applied(office: Office) -> None:
    """A record whose refused creation a supervisor applies belongs to who made it."""
    li, record = inspector("li"), new_id()
    fields = {"kind": "0102", "grid": GRID, "text": "x"}
    await apply(office, await office.write(revoked(li), "finding", record, fields))
    async with office.store.reading() as tx:
        assert (await tx.records([record]))[record].owner == "li"
