"""History and undo from the device."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from client_sdk.errors import Invalid, NotAllowed, Rejected
from field_schemas.policies import SetOperand
from field_schemas.types.component import Component
from field_schemas.types.finding import Finding
from sync.messages import Outcome
from tests.fake_server import FakeServer
from tests.phones import city, component, finding, phone


@pytest.fixture
def server() -> FakeServer:
    return city()


async def test_history_tells_who_changed_what_when_where(tmp_path: Path, server: FakeServer) -> None:
    """Each change of a record stands in its history: user, device, bounded time, verdict, fields by their labels."""
    async with phone(tmp_path, server, "li") as li, phone(tmp_path, server, "wang") as wang:
        made = await li.create(component())
        await li.sync()
        await wang.sync()
        seen = await wang.get(Component, made.id)
        assert seen is not None
        server.time.ms += 60_000
        await wang.update(seen, condition="worn", inspections=2, tags=SetOperand(add=["锈"]))
        await wang.sync()
        first, second = await li.history(made)
        assert (first.user, first.outcome, first.version > 0) == ("li", Outcome.APPLIED, True)
        assert (second.user, second.device, second.base) == ("wang", wang.id, first.version)
        assert (first.place, first.grid) == (second.place, second.grid) == (made.place, made.grid)
        assert abs(second.at_ms - server.time.ms) <= (second.error_ms or 0)
        told = {one.field: (one.label.zh, one.label.en, one.before, one.operand) for one in second.fields}
        assert told["condition"] == ("状况", "Condition", "unknown", "worn")
        assert told["inspections"][2:] == (0, 2)
        assert told["tags"][2:] == ([], SetOperand(add=["锈"]))


async def test_values_are_typed(tmp_path: Path, server: FakeServer) -> None:
    """Times and places in a history are what the record type declares, not plain values."""
    at = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
    async with phone(tmp_path, server, "li") as li:
        made = await li.create(finding(reported_at=at))
        await li.sync()
        (item,) = await li.history(made)
        values = {one.field: one.operand for one in item.fields}
        assert (values["reported_at"], values["place"]) == (at, made.place)


async def test_refused_changes_stand_in_the_history(tmp_path: Path, server: FakeServer) -> None:
    """A refused change is shown with the reason in both languages."""
    async with phone(tmp_path, server, "li") as li, phone(tmp_path, server, "chen") as chen:
        made = await li.create(finding())
        await li.sync()
        await chen.sync()
        same = await chen.get(Finding, made.id)
        assert same is not None
        await li.update(made, state="withdrawn")
        await chen.update(same, state="accepted")
        await li.sync()
        await chen.sync()
        item = (await li.history(made))[-1]
        assert (item.user, item.outcome, item.code) == ("chen", Outcome.REFUSED, "transition_illegal")
        assert item.reason is not None
        assert item.reason.en == "This step is not possible from the current state"


async def test_history_of_what_one_may_not_see(tmp_path: Path, server: FakeServer) -> None:
    """The history of a record that the server does not show is refused."""
    async with phone(tmp_path, server, "li") as li:
        with pytest.raises(Rejected, match="record_unknown"):
            await li.history(await li.create(finding()))


async def test_undo_takes_a_change_back_offline(tmp_path: Path, server: FakeServer) -> None:
    """Values go back, counters count back, sets too; it needs no network and reaches the others like any change."""
    async with phone(tmp_path, server, "li") as li, phone(tmp_path, server, "wang") as wang:
        made = await li.create(component(inspections=5, tags=["a", "b"], remark="原来"))
        await li.sync()
        seen = await li.get(Component, made.id)
        assert seen is not None
        await li.update(
            seen, condition="worn", inspections=2, tags=SetOperand(add=["c"], remove=["a"]), remark="改错了"
        )
        await li.sync()
        item = (await li.history(made))[-1]
        requests = len(server.requests)
        result = await li.undo(item)
        assert len(server.requests) == requests
        assert result.kept == []
        await li.sync()
        await wang.sync()
        for device in (li, wang):
            got = await device.get(Component, made.id)
            assert got is not None
            assert (got.condition, got.inspections, got.tags, got.remark) == ("unknown", 5, ["a", "b"], "原来")


async def test_undo_says_what_stays(tmp_path: Path, server: FakeServer) -> None:
    """What only grows, and a step that has no way back, is named as kept; the rest is taken back."""
    async with phone(tmp_path, server, "li") as li:
        made = await li.create(finding("原来"))
        await li.update(made, text="改了", state="withdrawn", reported_at=datetime(2026, 1, 1, tzinfo=UTC))
        await li.sync()
        item = (await li.history(made))[-1]
        result = await li.undo(item)
        assert result.kept == ["reported_at", "state"]
        assert isinstance(result.record, Finding)
        assert (result.record.text, result.record.state) == ("原来", "withdrawn")


async def test_a_creation_cannot_be_undone(tmp_path: Path, server: FakeServer) -> None:
    """To undo a creation changes nothing and keeps every field; a record that is not here is an error."""
    async with phone(tmp_path, server, "li") as li, phone(tmp_path, server, "chen") as chen:
        made = await li.create(finding())
        await li.sync()
        (item,) = await li.history(made)
        result = await li.undo(item)
        assert set(result.kept) == {"kind", "grid", "text", "place"}
        assert await li.pending() == []
        with pytest.raises(Invalid, match="record_unknown"):
            await chen.undo(item)


async def test_undo_of_a_change_the_device_has_not_pulled(tmp_path: Path, server: FakeServer) -> None:
    """With the history comes the record as it stands, so that an undo is no conflict with the change it undoes."""
    async with phone(tmp_path, server, "li") as li, phone(tmp_path, server, "wang") as wang:
        made = await li.create(component())
        await li.sync()
        await wang.sync()
        await li.update(made, condition="worn")
        await li.sync()
        same = await wang.get(Component, made.id)
        assert same is not None
        item = (await wang.history(same))[-1]
        await wang.undo(item)
        report = await wang.sync()
        assert report.verdicts == {"applied": 1}
        await li.sync()
        got = await li.get(Component, made.id)
        assert got is not None
        assert got.condition == "unknown"


async def test_undo_meets_later_work_like_any_change(tmp_path: Path, server: FakeServer) -> None:
    """Where others have changed a reviewed field since, the undo becomes a conflict, not a loss."""
    async with phone(tmp_path, server, "li") as li, phone(tmp_path, server, "wang") as wang:
        made = await li.create(finding("一"))
        await li.sync()
        await wang.sync()
        await li.update(made, text="二")
        await li.sync()
        item = (await li.history(made))[-1]
        await wang.sync()
        same = await wang.get(Finding, made.id)
        assert same is not None
        await wang.update(same, text="三")
        await wang.sync()
        await li.undo(item)
        assert (await li.sync()).verdicts == {"conflict": 1}


async def test_undo_happens_once(tmp_path: Path, server: FakeServer) -> None:
    """Two devices that take the same change back offline subtract once; each knows then, and can undo the undo."""
    async with phone(tmp_path, server, "li") as li, phone(tmp_path, server, "wang") as wang:
        made = await li.create(component(inspections=5))
        await li.update(made, inspections=2)
        await li.sync()
        await wang.sync()
        item = (await li.history(made))[-1]
        for device in (li, wang):
            await device.undo(item)
            with pytest.raises(NotAllowed, match="already_undone"):
                await device.undo(item)
            await device.sync()
        got = await wang.get(Component, made.id)
        assert got is not None
        assert got.inspections == 5
        assert [one.code for one in await wang.refusals()] == ["already_undone"]
        told = await wang.history(made)
        with pytest.raises(NotAllowed, match="already_undone"):
            await wang.undo(told[1])
        await wang.undo(next(one for one in told if one.version == told[1].undone))
        await wang.sync()
        got = await wang.get(Component, made.id)
        assert got is not None
        assert got.inspections == 7
