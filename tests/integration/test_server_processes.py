"""Several server processes over one PostgreSQL: to devices they are one server."""

import asyncio
import copy
import uuid
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio
from sqlalchemy.engine import URL

from client_sdk.torture.history import DeviceHistory
from client_sdk.torture.servers import USER, Servers
from client_sdk.torture.wire import LoadDevice, Unanswered, encoder, now_ms
from client_sdk.torture.workload import SCOPE
from field_schemas.access import Grant, Role
from server.storage.database import open_database
from sync.authority import Actor
from sync.decision import Submission
from sync.messages import Change, PushRequest
from sync.push import push
from tests.postgres import postgres_database
from tests.unit.builders import REGISTRY, component

pytestmark = pytest.mark.asyncio(loop_scope="module")
PROCESSES = 2
SECOND = 1


class Twins:
    """Two server processes, and devices of the one account at either."""

    def __init__(self, servers: Servers, database_url: str) -> None:
        self.servers = servers
        self.database_url = database_url
        self._devices: list[LoadDevice] = []

    async def device(self, process: int) -> LoadDevice:
        """A new device, signed in at this process."""
        device = LoadDevice(self.servers.urls[process], USER)
        self._devices.append(device)
        await device.sign_in(self.servers.password)
        return device

    def close(self) -> None:
        """Drop all connections."""
        for device in self._devices:
            device.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def twins(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: URL, postgres_template: str
) -> AsyncIterator[Twins]:
    """Two processes over one database, for all tests here."""
    async with postgres_database(postgres_server, postgres_template) as url:
        servers = Servers(tmp_path_factory.mktemp("servers"), url, PROCESSES)
        running = Twins(servers, url)
        try:
            await servers.start()
            yield running
        finally:
            running.close()
            await servers.stop()


def body(*changes: Change) -> bytes:
    """A push of these changes."""
    return encoder.encode(PushRequest(list(changes)))


async def pull(device: LoadDevice, held: DeviceHistory, cursor: str | None = None) -> str:
    """Pull what is new into `held`; the new cursor."""
    page = await device.pull(cursor, 10_000)
    held.take(page)
    assert not page.more
    return page.cursor


async def inspections(device: LoadDevice, record: uuid.UUID) -> int:
    """The counter of a component, as the device would pull it afresh."""
    held = DeviceHistory()
    await pull(device, held)
    counted: int = msgspec.msgpack.decode(held.copy[record].fields)["inspections"]
    return counted


async def test_devices_at_different_processes_converge(twins: Twins) -> None:
    """Devices that write the same record at different processes at once end with the same copy of it."""
    devices = [await twins.device(process) for process in (0, 1)]
    shared = devices[0].change("component", component(inspections=0))
    await devices[0].push(body(shared))

    async def work(device: LoadDevice) -> None:
        for step in range(15):
            fields = {"inspections": 1, "tags": {"add": [f"{device.id.hex}-{step}"]}}
            await device.push(body(device.change("component", fields, shared.record)))

    await asyncio.gather(*map(work, devices))
    copies = [DeviceHistory(), DeviceHistory()]
    await asyncio.gather(*map(pull, devices, copies))
    fields = msgspec.msgpack.decode(copies[0].copy[shared.record].fields)
    assert copies[0].copy == copies[1].copy
    assert (fields["inspections"], len(fields["tags"])) == (30, 30)


async def test_same_push_at_both_processes(twins: Twins) -> None:
    """A push that a device sends to both processes at once happens once, with one set of verdicts."""
    device = await twins.device(0)
    shared = device.change("component", component(inspections=0))
    await device.push(body(shared))
    other = copy.copy(device)
    other.turn_to(twins.servers.urls[SECOND])
    answers = []
    for _ in range(8):
        same = body(*(device.change("component", {"inspections": 1}, shared.record) for _ in range(5)))
        answers.append(await asyncio.gather(device.push(same), other.push(same)))
    assert [one.verdicts for one, _ in answers] == [other.verdicts for _, other in answers]
    assert await inspections(device, shared.record) == 40


async def test_slow_writer_is_not_skipped(twins: Twins) -> None:
    """What a slow transaction commits late is not skipped by pulls that other processes answered meanwhile."""
    writer, reader = await twins.device(0), await twins.device(SECOND)
    slow = LoadDevice(twins.servers.urls[0], USER)
    actor = Actor(USER, slow.id, (Grant(SCOPE, Role.SUPERVISOR),))
    late, early = slow.change("component", component()), writer.change("component", component())
    held = DeviceHistory()
    before = await pull(reader, held)
    database = open_database(twins.database_url, 1)
    async with database.store.writing() as tx:
        await push(tx, REGISTRY, [Submission(actor, [late], now_ms())])
        await writer.push(body(early))
        between = await pull(reader, held, before)
        assert late.record not in held.copy
    await database.close()
    await pull(reader, held, between)
    assert held.copy.keys() >= {early.record, late.record}


async def test_killed_process(twins: Twins) -> None:
    """Of what a killed process acknowledged nothing is lost; its device goes on at the other with the same push."""
    device = await twins.device(0)
    shared = device.change("component", component(inspections=0))
    bodies = [body(shared)]
    first = list((await device.push(bodies[0])).verdicts)
    busy = asyncio.Event()

    async def work() -> None:
        for step in range(120):
            bodies.append(body(*(device.change("component", {"inspections": 1}, shared.record) for _ in range(3))))
            try:
                answer = await device.push(bodies[-1])
            except Unanswered:
                device.turn_to(twins.servers.urls[SECOND])
                answer = await device.push(bodies[-1])
            first.extend(answer.verdicts)
            if step == 20:
                busy.set()

    working = asyncio.create_task(work())
    await busy.wait()
    await asyncio.gather(twins.servers.kill(0), working)
    device.turn_to(twins.servers.urls[0])
    assert [verdict for one in bodies for verdict in (await device.push(one)).verdicts] == first
    assert await inspections(device, shared.record) == 360
