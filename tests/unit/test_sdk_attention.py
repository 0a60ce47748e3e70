"""Conflicts and refusals as work: settled side by side, assigned, applied."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import pytest

from client_sdk import OFFERED, STANDING
from client_sdk.device import Device
from client_sdk.errors import Invalid, NotAllowed
from field_schemas.access import Grant, Role
from field_schemas.types.attention import Conflict
from field_schemas.types.component import Component
from field_schemas.types.finding import Note
from sync.messages import Outcome
from tests.fake_server import FakeServer
from tests.phones import GRID, NEXT_STREET, STREET, city, component, opened, phone


@pytest.fixture
def server() -> FakeServer:
    server = city()
    server.add_user("zhao", Grant(NEXT_STREET, Role.SUPERVISOR))
    return server


class Dispute(NamedTuple):
    """Li's value stands, wang's was offered, chen is to decide."""

    li: Device
    wang: Device
    chen: Device
    made: Component
    conflict: Conflict

    async def settled(self) -> list[tuple[str, str | None]]:
        """What all see after chen has synced."""
        looks: list[tuple[str, str | None]] = []
        for device in (self.chen, self.li, self.wang):
            await device.sync()
            got = await device.get(Component, self.made.id)
            assert got is not None
            looks.append((got.condition, got.remark))
            assert await device.conflicts() == []
        return looks


@asynccontextmanager
async def disputed(folder: Path, server: FakeServer) -> AsyncIterator[Dispute]:
    """Two inspectors have set one component's condition at once."""
    async with (
        phone(folder, server, "li") as li,
        phone(folder, server, "wang") as wang,
        phone(folder, server, "chen") as chen,
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
        (conflict,) = await chen.conflicts()
        yield Dispute(li, wang, chen, made, conflict)


@pytest.mark.parametrize(("choice", "holds"), [(OFFERED, "damaged"), (STANDING, "worn"), ("good", "good")])
async def test_a_side_or_another_value_settles(
    tmp_path: Path, server: FakeServer, choice: object, holds: str
) -> None:
    """The supervisor takes the value offered, the one that stands, or another one, and all see it."""
    async with disputed(tmp_path, server) as dispute:
        await dispute.chen.resolve(dispute.conflict, {"condition": choice})
        assert await dispute.settled() == [(holds, None)] * 3


async def test_only_fields_in_conflict_can_be_settled(tmp_path: Path, server: FakeServer) -> None:
    """A resolution of another field, or by an impossible value, is refused and nothing is stored."""
    async with disputed(tmp_path, server) as dispute:
        with pytest.raises(Invalid, match="field_unknown"):
            await dispute.chen.resolve(dispute.conflict, {"remark": "x"})
        with pytest.raises(Invalid, match="value_invalid"):
            await dispute.chen.resolve(dispute.conflict, {"condition": "purple"})
        assert await dispute.chen.pending() == []


async def test_attention_names_both_sides(tmp_path: Path, server: FakeServer) -> None:
    """A conflict says who offered and who wrote what stands."""
    async with disputed(tmp_path, server) as dispute:
        (item,) = await dispute.chen.needs_attention("en")
        (difference,) = item.differences
        assert (item.offered_by, difference.offered) == ("wang", "damaged")
        assert (difference.standing_by, difference.standing) == ("li", "worn")


async def test_a_conflict_is_assigned(tmp_path: Path, server: FakeServer) -> None:
    """Everybody concerned sees who is to settle a conflict; who has no authority over it cannot be assigned."""
    server.add_user("he", Grant(STREET, Role.SUPERVISOR))
    async with disputed(tmp_path, server) as dispute, phone(tmp_path, server, "he") as he:
        await dispute.chen.assign(dispute.conflict, "he")
        await dispute.chen.sync()
        await he.sync()
        (item,) = await he.needs_attention()
        assert (item.id, item.assignee) == (dispute.conflict.id, "he")
        await dispute.chen.assign(dispute.conflict, "zhao")
        assert (await dispute.chen.sync()).verdicts == {"refused": 1}
        assert [one.code for one in await dispute.chen.refusals()] == ["assignee_denied"]
        (conflict,) = await dispute.chen.conflicts()
        assert conflict.assignee == "he"


async def test_only_supervisors_assign(tmp_path: Path, server: FakeServer) -> None:
    """An inspector cannot pass a conflict on."""
    async with disputed(tmp_path, server) as dispute:
        (conflict,) = await dispute.wang.conflicts()
        with pytest.raises(NotAllowed):
            await dispute.wang.assign(conflict, "li")


async def test_a_supervisor_applies_what_was_refused(tmp_path: Path, server: FakeServer) -> None:
    """A refused change is made by the supervisor's authority; its author sees it and cannot do so alone."""
    async with phone(tmp_path, server, "li") as li, phone(tmp_path, server, "chen") as chen:
        made = await li.create(component())
        await li.sync()
        server.add_user("li", Grant(STREET, Role.STEWARD))
        await li.update(made, condition="damaged")
        await li.sync()
        (mine,) = await li.refusals()
        with pytest.raises(NotAllowed, match="transition_illegal"):
            await li.apply_refused(mine)
        await chen.sync()
        (item,) = await chen.needs_attention()
        (refusal,) = await chen.refusals()
        assert item.offered_by == "li"
        await chen.apply_refused(refusal)
        await chen.sync()
        await li.sync()
        got = await li.get(Component, made.id)
        assert got is not None
        assert got.condition == "damaged"
        assert await li.refusals() == []


async def test_resent_and_applied_takes_effect_once(tmp_path: Path, server: FakeServer) -> None:
    """An author who corrects offline what a supervisor applies meanwhile does not make it twice, and is told."""
    async with phone(tmp_path, server, "li") as li, phone(tmp_path, server, "chen") as chen:
        made = await li.create(component())
        await li.sync()
        server.add_user("li", Grant(STREET, Role.STEWARD))
        await li.update(made, inspections=1)
        await li.sync()
        await chen.sync()
        server.add_user("li", Grant(STREET, Role.INSPECTOR))
        await li.sync()
        (mine,), (theirs,) = await li.refusals(), await chen.refusals()
        await chen.apply_refused(theirs)
        await li.resend(mine)
        assert await li.refusals() == []
        with pytest.raises(NotAllowed, match="refusal_closed"):
            await li.resend(mine)
        await chen.sync()
        await li.sync()
        got = await li.get(Component, made.id)
        assert got is not None
        assert got.inspections == 1
        (late,) = await li.refusals()
        assert late.code == "refusal_closed"
        with pytest.raises(NotAllowed, match="refusal_closed"):
            await li.resend(late)


@asynccontextmanager
async def never_made(folder: Path, server: FakeServer) -> AsyncIterator[tuple[Device, UUID]]:
    """Li made a component with a grant that had ended unknown to the phone, and counted two inspections on it."""
    async with phone(folder, server, "li") as li:
        await li.sync()
        server.add_user("li", Grant(NEXT_STREET, Role.INSPECTOR))
        made = await li.create(component(name="旧"))
        for name in ("新", "新井盖"):
            await li.update(made, name=name, inspections=1)
        await li.sync()
        yield li, made.id


async def test_a_refused_creation_takes_its_changes_along(tmp_path: Path, server: FakeServer) -> None:
    """A record whose creation was refused is one thing to deal with, and is made again as a whole."""
    async with never_made(tmp_path, server) as (li, record):
        assert len(await li.refusals()) == 3
        (item,) = await li.needs_attention()
        assert (item.record, len(item.later)) == (record, 2)
        server.add_user("li", Grant(STREET, Role.INSPECTOR))
        await li.sync()
        await li.resend(next(one for one in await li.refusals() if one.id == item.id), code="9")
        assert (await li.sync()).verdicts == {"applied": 3}
        got = await li.get(Component, record)
        assert got is not None
        assert (got.code, got.name, got.inspections) == ("9", "新井盖", 2)
        assert await li.needs_attention() == []


@pytest.mark.parametrize("how", ["applied", "dismissed"])
async def test_a_refused_creation_is_closed_as_a_whole(tmp_path: Path, server: FakeServer, how: str) -> None:
    """A supervisor applies or dismisses the creation with the changes that came after it."""
    async with never_made(tmp_path, server) as (_, record), phone(tmp_path, server, "zhao") as zhao:
        await zhao.sync()
        (item,) = await zhao.needs_attention()
        (refusal,) = [one for one in await zhao.refusals() if one.id == item.id]
        server.add_user("zhao", Grant(STREET, Role.SUPERVISOR), Grant(NEXT_STREET, Role.SUPERVISOR))
        await (zhao.apply_refused(refusal) if how == "applied" else zhao.dismiss(refusal))
        await zhao.sync()
        got = await zhao.get(Component, record)
        assert (got and (got.name, got.inspections)) == (("新井盖", 2) if how == "applied" else None)
        assert await zhao.needs_attention() == []


async def test_work_on_a_deleted_record_cannot_be_sent_again(tmp_path: Path, server: FakeServer) -> None:
    """A change that was refused because its record was deleted is not made a creation without its other fields."""
    async with phone(tmp_path, server, "li") as li, opened(tmp_path / "other.db", server) as other:
        await other.sign_in("li", "secret")
        made = await li.create(Note(grid=GRID, text="x"))
        await li.sync()
        await other.sync()
        await li.delete(made)
        await li.sync()
        await other.update(made, text="y")
        await other.sync()
        (refusal,) = await other.refusals()
        with pytest.raises(NotAllowed, match="record_deleted"):
            await other.resend(refusal)


async def test_what_was_refused_is_not_undone(tmp_path: Path, server: FakeServer) -> None:
    """The undo of a refused change says that there is nothing to take back."""
    async with phone(tmp_path, server, "li") as li:
        made = await li.create(component())
        await li.sync()
        server.add_user("li", Grant(STREET, Role.STEWARD))
        await li.update(made, condition="damaged")
        await li.sync()
        *_, item = await li.history(made)
        assert item.outcome is Outcome.REFUSED
        with pytest.raises(NotAllowed, match="nothing_to_undo"):
            await li.undo(item)
