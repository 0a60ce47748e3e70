"""Live: one small change, pushed by one device, until the others that listen have pulled it."""

import asyncio
import copy
import functools
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import TypeVar

from client_sdk.demo.stage import Stage
from client_sdk.torture.wire import LoadDevice, NotAsExpected, Unanswered, encoder
from sync.messages import PushRequest
from tests.bench import live_phones
from tests.bench.arrivals import WITHIN_S, Arrivals, small_change
from tests.bench.crowd import Member, cost_of, enrol, percentile
from tests.bench.figures import Figure, Goal, figure
from tests.bench.running import Place

T = TypeVar("T")
DEVICES = 200
CHANGES = 50
CHANGES_TO_ALL = 20
LISTENERS = 5_000
_QUICK_LISTENERS = 200
_STREETS = 20
_IDLE_S = 20.0
_AT_ONCE = 32
_GOAL = Goal(at_most=250)
_USER = "li.na"
_WARM_UP = 10
"""Changes that do not count: the server still notes who reads for the first time."""


async def measure(place: Place) -> list[Figure]:
    """From push to pull on other devices, beside a push and a pull right after it; and what listeners cost."""
    database, listeners = place.database, _QUICK_LISTENERS if place.quick else LISTENERS
    stage = Stage(place.folder, place.url)
    await stage.command("init")
    spread = await enrol(stage, "spread", [_street(number % _STREETS) for number in range(DEVICES)])
    together = await enrol(stage, "together", [_street(_STREETS)] * DEVICES)
    silent = await enrol(stage, "silent", [_street(number % 500 + 100) for number in range(listeners)])
    await stage.add_user(_USER, ("inspector", _street(_STREETS + 1)))
    (reporter,) = await enrol(stage, "reporter", [_street(_STREETS + 1)])
    await stage.start_server()
    try:
        direct = await _direct(spread[0])
        in_streets = await _latencies(spread, DEVICES // _STREETS, CHANGES)
        in_one = await _latencies(together, DEVICES, CHANGES_TO_ALL)
        on_phones = await live_phones.latencies(stage, _USER, reporter)
        costs = await _cost_of_listeners(stage, silent)
    finally:
        await stage.stop_server()
    base, baseline = percentile(direct, 0.99), "push, then pull at once, p99"
    name, gap = f"live, {DEVICES} devices", live_phones.GAP_S
    latencies = {
        f"{name} in {_STREETS} streets": in_streets,
        f"{name} in one street, all pull": in_one,
        f"live, {live_phones.PHONES} devices with the SDK, a change each {gap} s": on_phones,
    }
    return [
        *(
            figure(f"{what}, {part}, {database}", percentile(ms, share), "ms", baseline, base, goal)
            for what, ms in latencies.items()
            for part, share, goal in (("p50", 0.5, None), ("p99", 0.99, _GOAL))
        ),
        *(figure(f"{what}, {database}", value, unit, than, least) for what, value, unit, than, least in costs),
    ]


def _street(number: int) -> str:
    return f"grid:440304{number + 1:03}"


async def _direct(member: Member) -> list[float]:
    """Ms of a push and a pull, one after the other, with nobody else about."""
    took = []
    cursor = None
    for _ in range(CHANGES):
        body = encoder.encode(PushRequest([small_change(member)]))
        began = time.perf_counter()
        await member.device.push(body)
        cursor = (await member.device.pull(cursor, 1_000)).cursor
        took.append((time.perf_counter() - began) * 1_000)
    return took


async def _latencies(members: list[Member], of_street: int, count: int) -> list[float]:
    """Ms from the push of a change until each device of the author's street has pulled it, `count` times."""
    arrivals = Arrivals()
    # They push on connections of their own: on the others they pull what the others wrote.
    authors = [Member(copy.copy(member.device), member.scope) for member in members]
    for author, member in zip(authors, members, strict=True):
        author.device.turn_to(member.device.url)
    listening = [asyncio.create_task(_listen(member.device, arrivals)) for member in members]
    async with asyncio.timeout(WITHIN_S):
        while arrivals.listening < len(members):
            arrivals.changed.clear()
            await arrivals.changed.wait()
    for number in range(-_WARM_UP, count):
        if number == 0:
            arrivals.ms.clear()
        author = authors[number % len(authors)]
        change = small_change(author)
        body = encoder.encode(PushRequest([change]))
        arrivals.begin(change, author.device.id)
        await _patiently(functools.partial(author.device.push, body))
        await arrivals.until_all(change.record, of_street - 1)
    for task in listening:
        task.cancel()
    await asyncio.gather(*listening, return_exceptions=True)
    return [ms for took in arrivals.ms.values() for ms in took]


async def _listen(device: LoadDevice, arrivals: Arrivals) -> None:
    """Pull at each poke."""
    cursor: str | None = None
    first = True
    async with aclosing(_pokes(device)) as pokes:
        async for _ in pokes:
            page = await _patiently(functools.partial(device.pull, cursor, 1_000))
            cursor = page.cursor
            for record in page.records:
                arrivals.note(record.id, device.id)
            arrivals.listening += first
            first = False
            arrivals.changed.set()


async def _pokes(device: LoadDevice) -> AsyncGenerator[None, None]:
    """The pokes of a line that is opened again when the server asks for that."""
    while True:
        try:
            async with aclosing(device.pokes()) as pokes:
                async for _ in pokes:
                    yield
        except NotAsExpected as error:
            await asyncio.sleep((error.retry_after_s or 0) + 0.1)


async def _patiently(call: Callable[[], Awaitable[T]]) -> T:
    """The answer to a call, made again when the server asks for that, or has closed the idle connection."""
    while True:
        try:
            return await call()
        except Unanswered:
            continue
        except NotAsExpected as error:
            if error.retry_after_s is None:
                raise
            await asyncio.sleep(error.retry_after_s)


async def _cost_of_listeners(stage: Stage, members: list[Member]) -> list[tuple[str, float, str, str, float]]:
    """What many listeners cost: memory of each, and processor time while nothing happens."""
    before = cost_of(stage.pid)
    idle = await _idle_share(stage.pid)
    open_now = asyncio.Semaphore(_AT_ONCE)
    there = [asyncio.Event() for _ in members]
    tasks = [
        asyncio.create_task(_hold(member.device, open_now, one)) for member, one in zip(members, there, strict=True)
    ]
    for one in there:
        await one.wait()
    held, busy = cost_of(stage.pid), await _idle_share(stage.pid)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    each_kb = (held.memory_mb - before.memory_mb) * 1024 / len(members)
    return [
        (
            f"{len(members):,} listeners, memory of each",
            each_kb,
            "kB",
            "server before, per listener",
            before.memory_mb * 1024 / len(members),
        ),
        (
            f"{len(members):,} listeners, processor while idle",
            busy * 100,
            "%",
            "without listeners",
            max(idle * 100, 0.01),
        ),
    ]


async def _hold(device: LoadDevice, open_now: asyncio.Semaphore, there: asyncio.Event) -> None:
    await open_now.acquire()
    with suppress(Unanswered):
        async with aclosing(_pokes(device)) as pokes:
            async for _ in pokes:
                if not there.is_set():
                    there.set()
                    open_now.release()


async def _idle_share(pid: int) -> float:
    """The share of one processor that the process uses."""
    before, began = cost_of(pid).cpu_s, time.perf_counter()
    await asyncio.sleep(_IDLE_S)
    return (cost_of(pid).cpu_s - before) / (time.perf_counter() - began)
