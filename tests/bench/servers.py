"""The server processes that are measured, ours and the bare one, and the clients that call them."""

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import asyncpg
import msgspec
from litestar.status_codes import HTTP_200_OK

from client_sdk.demo.stage import Stage, free_port
from client_sdk.torture.wire import TYPE, Connection, LoadDevice, batches, encoder
from sync.messages import Outcome
from tests.bench.crowd import enrol
from tests.bench.running import Place
from tests.bench.turns import Work, parent_of

GRID = "440304006001001"
FIELDS = {
    "grid": GRID,
    "kind": "0102",
    "text": "人行道盖板破损，边缘翘起，行人易绊倒，已放置警示锥，建议尽快更换",
    "address": "香梅路与红荔路交叉口东南角",
    "place": {"lon": 114.0391, "lat": 22.5518, "accuracy_m": 6.0},
    "reported_at": "2026-03-02T08:15:00Z",
}
BATCH = 100
_TAKEN = (Outcome.APPLIED, Outcome.MERGED)
_HEADERS = {"Content-Type": TYPE, "Accept": TYPE}


class Ours(msgspec.Struct, frozen=True):
    """Running server processes over one database, and devices that are signed in, spread over them."""

    pids: tuple[int, ...]
    devices: list[LoadDevice]


@asynccontextmanager
async def ours(
    place: Place, clients: int, processes: int = 1, areas: Sequence[str] = (GRID[:6],)
) -> AsyncIterator[Ours]:
    """Our server at `place`, which may have been initialised before. The devices share the areas out."""
    stages = [Stage(place.folder, place.url) for _ in range(processes)]
    await stages[0].command("init")
    members = await enrol(
        stages[0], f"load{uuid.uuid4().hex[:6]}-", [f"grid:{areas[number % len(areas)]}" for number in range(clients)]
    )
    devices = [member.device for member in members]
    try:
        for stage in stages:
            await stage.start_server()
        for number, device in enumerate(devices):
            device.turn_to(stages[number % processes].url)
        yield Ours(tuple(stage.pid for stage in stages), devices)
    finally:
        for stage in stages:
            await stage.stop_server()


class Bare(msgspec.Struct, frozen=True):
    """The running bare endpoint, and connections to it."""

    pid: int
    connections: list[Connection]


@asynccontextmanager
async def bare(place: Place, clients: int) -> AsyncIterator[Bare]:
    """The endpoint without rules (tests.bench.bare), in a process of its own, over the baseline's database."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.bare", place.bare_url, str(port)
    )
    try:
        await listening(port)
        yield Bare(process.pid, [Connection(f"http://127.0.0.1:{port}") for _ in range(clients)])
    finally:
        process.terminate()
        await process.wait()


def pushes(devices: Sequence[LoadDevice], each: int, fields: Mapping[str, object] = FIELDS) -> Work:
    """All devices send `each` batches of creations."""
    return sending([(device, batches(device, "finding", fields, each)) for device in devices])


def sending(work: list[tuple[LoadDevice, list[bytes]]]) -> Work:
    """All devices send their pushes at once, each one after the other. Raises RuntimeError for one not taken."""
    # What idled meanwhile, the server may have closed.
    for device, _ in work:
        device.close()

    async def push_all() -> int:
        return sum(await asyncio.gather(*(_push(*one) for one in work)))

    return push_all


async def _push(device: LoadDevice, bodies: list[bytes]) -> int:
    return sum([await push_one(device, body) for body in bodies])


async def push_one(device: LoadDevice, body: bytes) -> int:
    """Send one push; how many changes were taken. Raises RuntimeError when not all were."""
    verdicts = (await device.push(body)).verdicts
    for verdict in verdicts:
        if verdict.outcome not in _TAKEN:
            raise RuntimeError(f"not applied: {verdict}")
    return len(verdicts)


def bare_pushes(connections: Sequence[Connection], each: int) -> Work:
    """The same batches, sent to the bare endpoint."""
    work = [
        (connection, batches(LoadDevice("http://nowhere", "bare"), "finding", FIELDS, each))
        for connection in connections
    ]
    for connection in connections:
        connection.close()

    async def push_all() -> int:
        return sum(await asyncio.gather(*(_bare_push(*one) for one in work)))

    return push_all


async def _bare_push(connection: Connection, bodies: list[bytes]) -> int:
    return sum([await bare_push(connection, body) for body in bodies])


async def bare_push(connection: Connection, body: bytes) -> int:
    """Send one batch; how many changes were stored."""
    return int(msgspec.msgpack.decode(await bare_call(connection, "/push", body)))


async def bare_call(connection: Connection, path: str, body: bytes) -> bytes:
    """The answer's body. Raises RuntimeError for another status than 200."""
    answer = await connection.post(path, body, _HEADERS)
    if answer.status != HTTP_200_OK:
        raise RuntimeError(f"bare endpoint: {answer.status} {answer.body[:300]!r}")
    return answer.body


def pulls(devices: Sequence[LoadDevice], times: int) -> Work:
    """All devices pull all there is, so many times each."""
    for device in devices:
        device.close()

    async def one(device: LoadDevice) -> int:
        return sum([await device.pull_all() for _ in range(times)])

    async def pull_all() -> int:
        return sum(await asyncio.gather(*map(one, devices)))

    return pull_all


def bare_pulls(connections: Sequence[Connection], records: int, times: int) -> Work:
    """A page of so many records, by all connections, so many times each."""
    body = encoder.encode({"after": uuid.UUID(int=0), "limit": records})
    decode = msgspec.msgpack.Decoder(list[tuple[uuid.UUID, msgspec.Raw]]).decode
    for connection in connections:
        connection.close()

    async def one(connection: Connection) -> int:
        return sum([len(decode(await bare_call(connection, "/pull", body))) for _ in range(times)])

    async def pull_all() -> int:
        return sum(await asyncio.gather(*map(one, connections)))

    return pull_all


async def postmaster(place: Place) -> int | None:
    """The process all of PostgreSQL's other processes descend from; None on SQLite and where it cannot be seen."""
    if not place.on_postgres:
        return None
    connection = await asyncpg.connect(place.bare_url)
    try:
        return parent_of(connection.get_server_pid(), "postgres")
    finally:
        await connection.close()


async def listening(port: int) -> None:
    """Wait until something listens on a port. Raises RuntimeError."""
    for _ in range(600):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise RuntimeError(f"nothing listens on port {port}")
