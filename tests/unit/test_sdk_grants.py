"""What a user may do on the phone, as grants come, end and are learnt of."""

from pathlib import Path

import pytest

from client_sdk.errors import NotAllowed
from field_schemas.access import Grant, Role
from field_schemas.types.component import Component
from field_schemas.types.finding import Finding
from sync.clock import DAY_MS
from tests.fake_server import FakeServer
from tests.phones import NEXT_STREET, STREET, city, component, finding, opened, phone


@pytest.fixture
def server() -> FakeServer:
    return city()


async def test_nothing_is_moved_to_where_its_author_may_not_put_it(tmp_path: Path, server: FakeServer) -> None:
    """A move out of what the user was granted is refused on the phone, as the server would refuse it."""
    async with phone(tmp_path, server, "li") as li:
        made = await li.create(component())
        with pytest.raises(NotAllowed, match="scope_denied"):
            await li.update(made, grid="440304002001001")
        assert await li.get(Component, made.id) == made
        assert len(await li.pending()) == 1


async def test_an_ended_grant_empties_its_area(tmp_path: Path, server: FakeServer) -> None:
    """When a grant ends, the records of its area leave the device, and the device knows its new grants."""
    server.add_user("li", Grant(STREET, Role.INSPECTOR), Grant(NEXT_STREET, Role.INSPECTOR))
    async with phone(tmp_path, server, "chen") as chen, phone(tmp_path, server, "li") as li:
        for street in "12":
            await chen.create(component(code=street, grid=f"44030400{street}001001"))
        await chen.sync()
        await li.sync()
        assert {one.code for one in await li.find(Component)} == {"1", "2"}
        server.add_user("li", Grant(STREET, Role.INSPECTOR))
        await li.sync()
        assert [one.code for one in await li.find(Component)] == ["1"]
        assert [grant.scope for grant in li.grants] == [STREET]
        with pytest.raises(NotAllowed, match="scope_denied"):
            await li.create(component(grid="440304002001001"))


async def test_a_clock_that_is_ahead_after_a_reboot_takes_no_grant_away(tmp_path: Path, server: FakeServer) -> None:
    """Without a network after a reboot the wall clock proves nothing: who was granted the area works on."""
    ends = server.time.ms + 10 * DAY_MS
    server.add_user("li", Grant(STREET, Role.INSPECTOR, valid_until=ends))
    async with phone(tmp_path, server, "li") as li:
        await li.sync()
    ahead = server.time.clocks(wrong_by_ms=400 * DAY_MS, boot="after a reboot")
    async with opened(tmp_path / "li.db", server, clocks=ahead) as li:
        await li.create(finding())
        report = await li.sync()
        assert report.verdicts == {"applied": 1}
    server.time.ms = ends
    async with opened(tmp_path / "li.db", server, clocks=ahead) as li:
        with pytest.raises(NotAllowed, match="scope_denied"):
            await li.create(finding())


async def test_a_new_role_in_the_same_area_is_known(tmp_path: Path, server: FakeServer) -> None:
    """A role gained in an area the device has already holds for local work after the next sync."""
    async with phone(tmp_path, server, "chen") as chen, phone(tmp_path, server, "li") as li:
        made = await chen.create(finding())
        await chen.sync()
        await li.sync()
        with pytest.raises(NotAllowed):
            await li.update(made, state="accepted")
        server.add_user("li", Grant(STREET, Role.INSPECTOR), Grant(STREET, Role.SUPERVISOR))
        await li.sync()
        seen = await li.get(Finding, made.id)
        assert seen is not None
        assert (await li.update(seen, state="accepted")).state == "accepted"
