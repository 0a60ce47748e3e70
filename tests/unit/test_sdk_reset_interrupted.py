"""A server was replaced, and the device is interrupted while it finds out: nothing it had sent is forgotten."""

import contextlib
from pathlib import Path

import pytest

from client_sdk.errors import Offline
from field_schemas.access import Grant, Role
from field_schemas.types.component import Component
from field_schemas.types.finding import Finding
from sync.memory import MemoryStore
from tests.fake_server import lost
from tests.phones import GRID, NEXT_STREET, city, component, finding, phone


@pytest.mark.parametrize("call", range(4))
async def test_interrupted_reset_is_taken_up_again(tmp_path: Path, call: int) -> None:
    """Whichever request after a restore gets lost, the next sync brings the server what its backup lacks."""
    server = city()
    async with phone(tmp_path, server, "li") as li:
        made = [await li.create(finding("盖板破损"))]
        await li.sync()
        server.replace_contents()
        made.append(await li.create(finding("井盖缺失")))
        server.faults.extend([*[None] * call, lost])
        with pytest.raises(Offline):
            await li.sync()
        await li.sync()
        assert set(server.state.records) == {record.id for record in made}


async def test_interrupted_reset_without_new_work(tmp_path: Path) -> None:
    """The same when the device has nothing new to send, and learns of the restore by reading."""
    server = city()
    async with phone(tmp_path, server, "li") as li:
        made = await li.create(finding("盖板破损"))
        await li.sync()
        server.replace_contents(MemoryStore(made.id))
        server.faults.extend([None, lost])
        with pytest.raises(Offline):
            await li.sync()
        await li.sync()
        assert set(server.state.records) == {made.id}


@pytest.mark.parametrize("call", range(4))
async def test_work_sent_again_makes_no_record_of_what_was_forgotten(tmp_path: Path, call: int) -> None:
    """An own update of all a record needs, sent again to a restored server, does not bring up the record that its
    author may not see any more."""
    server = city()
    async with phone(tmp_path, server, "wang") as wang, phone(tmp_path, server, "li") as li:
        made = await wang.create(finding("盖板破损"))
        await wang.sync()
        await li.sync()
        backup = server.state
        (seen,) = await li.find(Finding)
        await li.update(seen, kind="0103", grid=GRID, text="井盖缺失")
        await li.sync()
        server.add_user("li", Grant(NEXT_STREET, Role.INSPECTOR))
        await li.sync()
        await server.restore(backup)
        server.faults.extend([*[None] * call, lost])
        with contextlib.suppress(Offline):
            await li.sync()
        assert await li.get(Finding, made.id) is None


async def test_what_its_history_brought_amid_a_reset_goes_with_its_scope(tmp_path: Path) -> None:
    """A record whose history was looked up before the contents were read anew goes where it has moved away since."""
    server = city()
    async with phone(tmp_path, server, "li") as li, phone(tmp_path, server, "chen") as chen:
        made = await chen.create(component())
        await chen.sync()
        await li.sync()
        await server.restore(server.state)
        server.faults.extend([None, None, lost])
        with pytest.raises(Offline):
            await li.sync()
        await chen.update(made, remark="改")
        await chen.sync()
        (seen,) = await li.find(Component)
        await li.history(seen)
        await chen.update(made, grid="440304002001001")
        await chen.sync()
        server.snapshot_from = 1
        await li.sync()
        assert await li.find(Component) == []
