"""Where the time of a push goes: the parts of its work alone, in this process, beside the whole server."""

import statistics
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial

import msgspec

from client_sdk.torture.wire import LoadDevice, batches, encoder, now_ms
from field_schemas.access import Grant, Role
from field_schemas.registry import Registry, load_types
from server.storage.database import open_database
from sync.authority import Actor
from sync.decision import Submission
from sync.memory import MemoryStore
from sync.messages import PushRequest, PushResponse
from sync.push import push
from sync.storage import Store
from tests.bench import servers
from tests.bench.figures import Figure, figure
from tests.bench.running import Place
from tests.bench.turns import Contestant, take_turns

CLIENTS = 8
RUNS, QUICK_RUNS = 25, 3
SERVER_RUNS, PUSHES = 3, 10
_decode = msgspec.msgpack.Decoder(PushRequest).decode


async def measure(place: Place) -> list[Figure]:
    """Processor time a change of decoding, rules, driver and answer; what the whole server takes more is the rest."""
    registry, runs = load_types(), QUICK_RUNS if place.quick else RUNS
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(servers.ours(place, CLIENTS))
        here = open_database(place.url, CLIENTS)
        stack.push_async_callback(here.close)
        decoding = await _median_us(runs, _decoding)
        rules = await _median_us(runs, lambda: _deciding(registry, None))
        stored = await _median_us(runs, lambda: _deciding(registry, here.store))
        answers = await _decided(MemoryStore(uuid.uuid4()), registry, _submissions())
        answering = await _median_us(runs, lambda: partial(_encode_all, answers))
        contestant = Contestant(lambda: servers.pushes(running.devices, PUSHES), running.pids)
        whole = (await take_turns({"whole": contestant}, SERVER_RUNS))["whole"].cost.server
    driver = stored - rules
    parts = {
        "decoding": decoding,
        "rules: valid? permitted? merged? logged": rules,
        "driver" if place.on_postgres else "driver and database": driver,
        "encoding the answer": answering,
        "the rest: HTTP, identity, group commit": whole - decoding - rules - driver - answering,
    }
    return [
        figure(f"part of a push, {place.database}: {part}", spent, "µs/change", "whole server", whole)
        for part, spent in parts.items()
    ]


async def _median_us(runs: int, prepare: Callable[[], Callable[[], Awaitable[None]]]) -> float:
    """Processor time of this process a change, of pushes of CLIENTS devices that commit together."""
    spent = []
    for _ in range(runs):
        work = prepare()
        before = time.process_time()
        await work()
        spent.append((time.process_time() - before) * 1e6 / CLIENTS / servers.BATCH)
    return statistics.median(spent)


def _bodies() -> list[tuple[LoadDevice, bytes]]:
    devices = [LoadDevice("http://nowhere", f"part{number}") for number in range(CLIENTS)]
    return [(device, batches(device, "finding", servers.FIELDS, 1)[0]) for device in devices]


def _submissions() -> list[Submission]:
    grants = (Grant(f"grid:{servers.GRID[:6]}", Role.INSPECTOR),)
    return [
        Submission(Actor(device.user, device.id, grants), _decode(body).changes, now_ms())
        for device, body in _bodies()
    ]


def _decoding() -> Callable[[], Awaitable[None]]:
    bodies = _bodies()

    async def decode() -> None:
        for _, body in bodies:
            _decode(body)

    return decode


def _deciding(registry: Registry, store: Store | None) -> Callable[[], Awaitable[None]]:
    """One transaction on `store`, or on a new one in memory."""
    submissions = _submissions()
    where = store or MemoryStore(uuid.uuid4())

    async def decide() -> None:
        await _decided(where, registry, submissions)

    return decide


async def _encode_all(answers: list[PushResponse]) -> None:
    for answer in answers:
        encoder.encode(answer)


async def _decided(store: Store, registry: Registry, submissions: list[Submission]) -> list[PushResponse]:
    async with store.writing() as tx:
        answers = await push(tx, registry, submissions, look=False)
    done = [answer for answer in answers if isinstance(answer, PushResponse)]
    if len(done) < len(submissions):
        raise RuntimeError(f"not taken: {answers}")
    return done
