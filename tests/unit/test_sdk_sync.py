"""The device and the server: what is sent, what comes back, what the user sees in between."""

import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

import httpx
import msgspec
import pytest

from client_sdk.device import Device
from client_sdk.errors import Invalid, NotAllowed, Offline
from client_sdk.reports import Progress
from field_schemas.access import Grant, Role
from field_schemas.policies import SetOperand
from field_schemas.types.component import Component
from field_schemas.types.finding import Finding
from sync.messages import Outcome
from tests.fake_server import FakeServer, lost
from tests.phones import NEXT_STREET, STREET, city, component, finding, opened, phone


@pytest.fixture
def server() -> FakeServer:
    return city()


async def test_a_created_record_reaches_another_device(tmp_path: Path, server: FakeServer) -> None:
    """What one device creates offline, another has after both have synced."""
    async with phone(tmp_path, server, "li") as li, phone(tmp_path, server, "wang") as wang:
        made = await li.create(finding("盖板破损"))
        await li.sync()
        await wang.sync()
        got = await wang.get(Finding, made.id)
        assert got is not None
        assert (got.text, got.version > 0) == ("盖板破损", True)


async def test_the_report_counts_what_happened(tmp_path: Path, server: FakeServer) -> None:
    """A report counts pushed changes by verdict, records, requests and bytes; progress tells both phases."""
    seen: list[Progress] = []
    async with phone(tmp_path, server, "li") as li:
        for n in range(3):
            await li.create(finding(f"问题{n}"))
        report = await li.sync(progress=seen.append)
        assert (report.pushed, report.verdicts, report.pulled) == (3, {"applied": 3}, 3)
        assert report.requests == 2  # push with the page, receipt
        assert min(report.bytes_sent, report.bytes_received) > 100
    assert seen == [Progress("push", 3, 3), Progress("pull", 3)]


async def test_own_work_shows_before_and_after_sync(tmp_path: Path, server: FakeServer) -> None:
    """Counters, sets and values the user changed look the same before sending, between push and pull, and after."""
    (record,) = await server.import_records(
        "component", [{"code": "1", "kind": "0101", "grid": "440304001001001", "inspections": 5,
                       "tags": {"add": ["a", "b"]}, "place": {"lon": 114.05, "lat": 22.54}}]
    )  # fmt: skip
    async with phone(tmp_path, server, "li") as li:
        await li.sync()
        found = await li.get(Component, record)
        assert found is not None
        await li.update(found, inspections=1, condition="worn", tags=SetOperand(add=["c"], remove=["a"]))
        await li.update(found, inspections=2)
        looks = [await _look(li, record)]
        server.faults.extend([None, lost])
        with pytest.raises(Offline):
            await li.sync()
        looks.append(await _look(li, record))
        await li.sync()
        looks.append(await _look(li, record))
        assert looks == [(8, "worn", ["b", "c"])] * 3


async def _look(device: Device, record: uuid.UUID) -> tuple[int, str, list[str]]:
    found = await device.get(Component, record)
    assert found is not None
    return found.inspections, found.condition, found.tags


async def test_texts_that_repeat_themselves_reach_everybody(tmp_path: Path, server: FakeServer) -> None:
    """A page that became very few bytes for its way is read like any other: no text stops a sync."""
    async with phone(tmp_path, server, "li") as li, phone(tmp_path, server, "chen") as chen:
        async with li.batch() as batch:
            for _ in range(45):
                batch.create(finding("汉" * 10_000))
        await li.sync()
        await chen.sync()
        assert len(await chen.find(Finding)) == len(await li.find(Finding)) == 45


async def test_a_lost_answer_does_no_harm(tmp_path: Path, server: FakeServer) -> None:
    """A push whose answer was lost is sent again and happens once."""
    async with phone(tmp_path, server, "li") as li:
        made = await li.create(component())
        await li.update(made, inspections=1)
        server.after.append(lost)
        with pytest.raises(Offline):
            await li.sync()
        assert len(await li.pending()) == 2
        report = await li.sync()
        assert report.verdicts == {"applied": 2}
        got = await li.get(Component, made.id)
        assert got is not None
        assert got.inspections == 1


async def test_an_edit_during_a_sync_is_neither_lost_nor_doubled(tmp_path: Path, server: FakeServer) -> None:
    """A change made while the pull is under way stays visible and is sent exactly once."""
    async with phone(tmp_path, server, "li") as li:
        made = await li.create(component())

        async def edit(_request: httpx.Request) -> None:
            await li.update(made, inspections=1)

        server.after.extend([edit, edit])
        await li.sync()
        assert await _look(li, made.id) == (2, "unknown", [])
        await li.sync()
        await li.sync()
        assert await _look(li, made.id) == (2, "unknown", [])
        assert msgspec.msgpack.decode(server.state.records[made.id].fields)["inspections"] == 2


async def test_a_refused_change_goes_back_to_what_stands(tmp_path: Path, server: FakeServer) -> None:
    """A change the server refuses leaves the record as it was, and becomes a refusal the user can resend."""
    (record,) = await server.import_records(
        "component",
        [{"code": "1", "kind": "0101", "grid": "440304001001001", "place": {"lon": 114.05, "lat": 22.54}}],
    )
    async with phone(tmp_path, server, "li") as li:
        await li.sync()
        found = await li.get(Component, record)
        assert found is not None
        server.add_user("li", Grant(STREET, Role.STEWARD))
        await li.update(found, condition="damaged")
        await li.sync()
        (verdict,) = await li.verdicts(found)
        assert (verdict.outcome, verdict.code) == (Outcome.REFUSED, "role_denied")
        assert await _look(li, record) == (0, "unknown", [])
        (item,) = await li.needs_attention("zh")
        assert (item.kind, item.reason, item.title) == ("refusal", "您的角色不能进行此操作", "部件")
        server.add_user("li", Grant(STREET, Role.INSPECTOR))
        await li.sync()
        (refusal,) = await li.refusals()
        await li.resend(refusal, condition="worn")
        await li.sync()
        assert await _look(li, record) == (0, "worn", [])
        assert await li.refusals() == []


async def test_a_refused_creation_vanishes_and_can_be_resent(tmp_path: Path, server: FakeServer) -> None:
    """A record whose creation is refused leaves the device; resent with a grid of one's own it comes back."""
    server.add_user("li", Grant(STREET, Role.INSPECTOR), Grant(NEXT_STREET, Role.INSPECTOR))
    async with phone(tmp_path, server, "li") as li:
        server.add_user("li", Grant(STREET, Role.INSPECTOR))
        made = await li.create(finding(grid="440304002001001"))
        await li.sync()
        assert await li.get(Finding, made.id) is None
        (refusal,) = await li.refusals()
        await li.resend(refusal, grid="440304001001001")
        await li.sync()
        got = await li.get(Finding, made.id)
        assert got is not None
        assert got.grid == "440304001001001"


async def test_a_conflict_is_told_and_settled(tmp_path: Path, server: FakeServer) -> None:
    """Two different values at once become a conflict; the supervisor's choice reaches both inspectors."""
    async with (
        phone(tmp_path, server, "li") as li,
        phone(tmp_path, server, "wang") as wang,
        phone(tmp_path, server, "chen") as chen,
    ):
        made = await li.create(component())
        await li.sync()
        await wang.sync()
        theirs = await wang.get(Component, made.id)
        assert theirs is not None
        await li.update(made, condition="worn")
        await wang.update(theirs, condition="damaged")
        for device in (li, wang, chen):
            await device.sync()
        (item,) = await chen.needs_attention("en")
        (difference,) = item.differences
        assert (difference.label, difference.standing, difference.offered) == ("Condition", "worn", "damaged")
        (conflict,) = await chen.conflicts()
        await chen.resolve(conflict, {"condition": "damaged"})
        for device in (chen, li, wang):
            await device.sync()
            assert (await _look(device, made.id))[1] == "damaged"
            assert await device.conflicts() == []


async def test_a_record_that_moves_away_is_forgotten_but_not_unsent_work(tmp_path: Path, server: FakeServer) -> None:
    """A record that left the area goes; one with unsent work stays in sight until that work is sent."""
    async with phone(tmp_path, server, "chen") as chen, phone(tmp_path, server, "li") as li:
        both = [await chen.create(component(code=code)) for code in "ab"]
        await chen.sync()
        await li.sync()
        mine = await li.get(Component, both[0].id)
        assert mine is not None
        for one in both:
            await chen.update(one, grid="440304002001001")
        await chen.sync()

        async def edit(_request: httpx.Request) -> None:
            await li.update(mine, remark="还没发出")

        server.after.append(edit)
        await li.sync()
        assert [one.code for one in await li.find(Component)] == ["a"]
        await li.sync()
        assert await li.find(Component) == []


async def test_a_deleted_record_vanishes(tmp_path: Path, server: FakeServer) -> None:
    """A deletion leaves own sight at once and other devices with their next sync."""
    async with phone(tmp_path, server, "chen") as chen, phone(tmp_path, server, "li") as li:
        made = await chen.create(component())
        await chen.sync()
        await li.sync()
        got = await chen.get(Component, made.id)
        assert got is not None
        await chen.delete(got)
        assert await chen.find(Component) == []
        await chen.sync()
        await li.sync()
        assert (await li.find(Component), await chen.find(Component)) == ([], [])


async def test_a_replaced_server_is_read_afresh_and_told_what_it_lacks(tmp_path: Path, server: FakeServer) -> None:
    """After a restore to nothing, the device drops the old copies, and its own acknowledged work is sent again."""
    async with phone(tmp_path, server, "li") as li:
        await server.import_records(
            "component",
            [{"code": "1", "kind": "0101", "grid": "440304001001001", "place": {"lon": 114.05, "lat": 22.54}}],
        )
        made = await li.create(finding())
        await li.sync()
        assert len(await li.find(Component)) == 1
        server.replace_contents()
        await li.create(finding("之后"))
        await li.sync()
        assert await li.find(Component) == []
        assert {one.text for one in await li.find(Finding)} == {"盖板破损", "之后"}
        assert made.id in server.state.records
        server.replace_contents()
        await li.sync()
        assert made.id in server.state.records
        assert all(one.outcome is Outcome.APPLIED for one in await li.verdicts())


@pytest.mark.parametrize("held", [0, 7])
async def test_changes_are_renumbered_as_the_server_expects(tmp_path: Path, server: FakeServer, held: int) -> None:
    """Whatever number the server expects next, the device goes on from there and nothing is lost."""
    async with phone(tmp_path, server, "li") as li:
        await li.create(finding("一"))
        await li.sync()
        server.count_from(li.id, held)
        made = await li.create(finding("二"))
        await li.create(finding("三"))
        await li.sync()
        assert made.id in server.state.records
        assert {one.text for one in await li.find(Finding)} == {"一", "二", "三"}
        assert server.state.sequences[li.id] == held + 2 + (held == 0)


async def test_a_hole_in_the_own_numbers_is_closed(tmp_path: Path, server: FakeServer) -> None:
    """After the numbers jumped and the server was replaced, everything is sent again without a hole."""
    async with phone(tmp_path, server, "li") as li:
        await li.create(finding("一"))
        await li.sync()
        server.count_from(li.id, 7)
        await li.create(finding("二"))
        await li.sync()
        server.count_from(li.id, 0)
        await li.create(finding("三"))
        await li.sync()
        assert await li.pending() == []
        assert server.state.sequences[li.id] == 3


async def test_everything_is_there_after_reopening(tmp_path: Path, server: FakeServer) -> None:
    """Identity, session, records and unsent work survive closing and opening."""
    async with phone(tmp_path, server, "li") as li:
        device_id = li.id
        made = await li.create(finding())
    async with opened(tmp_path / "li.db", server) as li:
        assert (li.id, li.user, len(await li.pending())) == (device_id, "li", 1)
        await li.sync()
        assert made.id in server.state.records


async def test_rules_are_checked_before_anything_is_stored(tmp_path: Path, server: FakeServer) -> None:
    """What the server would refuse for rule or form is refused on the device, with its code, and leaves no trace."""
    async with phone(tmp_path, server, "li") as li:
        made = await li.create(finding())
        with pytest.raises(NotAllowed, match="transition_illegal"):
            await li.update(made, state="closed")
        with pytest.raises(NotAllowed, match="field_denied"):
            await li.create(component(responsible="物业"))
        with pytest.raises(NotAllowed, match="scope_denied"):
            await li.create(component(grid="440305001001001"))
        with pytest.raises(NotAllowed, match="role_denied"):
            await li.delete(made)
        with pytest.raises(Invalid, match="value_invalid"):
            await li.update(made, priority="soon")
        with pytest.raises(Invalid, match="field_unknown"):
            await li.update(made, colour="red")
        assert len(await li.pending()) == 1


async def test_a_batch_is_stored_wholly_or_not_at_all(tmp_path: Path, server: FakeServer) -> None:
    """One bad write in a batch keeps all of it out; a good batch is one transaction."""
    async with phone(tmp_path, server, "li") as li:
        with pytest.raises(NotAllowed):  # noqa: PT012 the block is what fails
            async with li.batch() as batch:
                batch.create(finding())
                batch.create(component(grid="440305001001001"))
        assert (await li.pending(), await li.find(Finding)) == ([], [])
        async with li.batch() as batch:
            made = batch.create(finding())
            batch.update(made, priority="urgent")
        (found,) = await li.find(Finding)
        assert (found.id, found.priority) == (made.id, "urgent")


async def test_a_delta_of_what_is_not_here_is_fetched_whole(tmp_path: Path, server: FakeServer) -> None:
    """A device whose copy was lost notices that a delta does not fit, and fetches the record."""
    async with phone(tmp_path, server, "chen") as chen:
        made = [await chen.create(component()) for _ in range(2)]
        await chen.sync()
        async with phone(tmp_path, server, "li") as li:
            await li.sync()
        with closing(sqlite3.connect(tmp_path / "li.db")) as db, db:
            db.execute("DELETE FROM records WHERE id = ?", (made[0].id.bytes,))
        for one in await chen.find(Component):
            await chen.update(one, remark="复查")
        await chen.sync()
        async with opened(tmp_path / "li.db", server) as li:
            before = len(server.requests)
            await li.sync()
            assert server.requests[before:].count("POST /v1/records/fetch") == 1
            assert await li.find(Component) == await chen.find(Component)
            assert [one.remark for one in await li.find(Component)] == ["复查", "复查"]
