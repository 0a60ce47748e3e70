"""Many devices coming online at once, each with unsent work: until all are in sync, and nothing is lost."""

import asyncio
import random
import time
from collections import Counter
from pathlib import Path

import msgspec
from sqlalchemy import func, select

from client_sdk.demo.stage import Stage
from client_sdk.torture.wire import NotAsExpected, Unanswered, encoder
from server.storage.database import open_database
from server.storage.tables import changes
from sync.messages import PushRequest
from tests.bench.crowd import Cost, Member, cost_of, enrol, percentile
from tests.bench.figures import Figure, figure
from tests.bench.running import Place

DEVICES = 15_000
_QUICK_DEVICES = 500
CHANGES = 20
ARRIVALS_A_SECOND = 125
"""15,000 within two minutes; fewer come as close together."""
GOAL_S = 180
_OF_STREET, _OF_COMMUNITY = 50, 10
_PATIENCE_S = 900
_TEXT = "人行道盖板破损，边缘翘起，行人易绊倒，已放置警示锥，建议尽快更换"


class Tally(msgspec.Struct):
    """What happened to all devices together. Seconds are from a device's arrival until it was in sync."""

    seconds: list[float] = []
    push_seconds: list[float] = []
    refused: Counter[str] = msgspec.field(default_factory=Counter)
    retried: Counter[int] = msgspec.field(default_factory=Counter)
    not_applied: int = 0


class Result(msgspec.Struct, frozen=True):
    """A run: its tally, the seconds until all were in sync, changes the server lacks, and what it cost."""

    tally: Tally
    all_s: float
    lost: int
    cost: Cost


async def measure(place: Place) -> list[Figure]:
    """All devices in sync: how long, how often turned away, how many lost changes."""
    database, count = place.database, _QUICK_DEVICES if place.quick else DEVICES
    result = await run(place.folder, place.url, count)
    within = count / ARRIVALS_A_SECOND
    tally = result.tally
    refusals = sum(tally.refused.values())
    name = f"{count:,} devices within {within:.0f} s, {CHANGES} changes each, {database}"
    goal = "goal"
    return [
        figure(f"{name}: all in sync", result.all_s, "s", goal, within + GOAL_S - DEVICES / ARRIVALS_A_SECOND),
        figure(f"{name}: p50 of a device", percentile(tally.seconds, 0.5), "s", goal, GOAL_S),
        figure(f"{name}: p99 of a device", percentile(tally.seconds, 0.99), "s", goal, GOAL_S),
        figure(f"{name}: p99 until its work was safe", percentile(tally.push_seconds, 0.99), "s", goal, GOAL_S),
        figure(f"{name}: refusals", refusals, "requests", "requests served", 2 * count),
        figure(f"{name}: most retries of one device", max(tally.retried, default=0), "retries", "devices", count),
        figure(f"{name}: changes lost", result.lost + tally.not_applied, "changes", "sent", count * CHANGES),
        figure(f"{name}: server's processor time", result.cost.cpu_s, "s", "all in sync", result.all_s),
        figure(f"{name}: server's largest memory", result.cost.peak_mb, "MB", "goal", 300),
    ]


async def run(folder: Path, url: str, count: int) -> Result:
    """Let `count` devices come online."""
    stage = Stage(folder, url)
    await stage.command("init")
    members = await enrol(stage, "device", [_community(number) for number in range(count)])
    await stage.start_server()
    try:
        before = cost_of(stage.pid)
        began = time.perf_counter()
        tally = Tally()
        async with asyncio.timeout(_PATIENCE_S), asyncio.TaskGroup() as group:
            for number, member in enumerate(members):
                chance = random.Random(number)
                group.create_task(_come_online(member, chance, count / ARRIVALS_A_SECOND, tally))
        all_s = time.perf_counter() - began
        after = cost_of(stage.pid)
    finally:
        await stage.stop_server()
    cost = Cost(after.cpu_s - before.cpu_s, after.memory_mb, after.peak_mb)
    return Result(tally, all_s, count * CHANGES - await _held(stage.database_url), cost)


def _community(number: int) -> str:
    street, place = divmod(number, _OF_STREET)
    return f"grid:{440304 + street // 900}{street % 900 + 1:03}{place // _OF_COMMUNITY + 1:03}"


async def _come_online(member: Member, chance: random.Random, within_s: float, tally: Tally) -> None:
    await asyncio.sleep(chance.random() * within_s)
    arrived = time.perf_counter()
    retries = 0
    with_grid = {"grid": member.scope.removeprefix("grid:") + "001", "kind": "0102", "text": _TEXT}
    async with member.device as device:
        body = encoder.encode(PushRequest(device.changes("finding", CHANGES, with_grid)))
        steps = ["push", "pull"]
        cursor = None
        while steps:
            try:
                if steps[0] == "push":
                    answer = await device.push(body)
                    tally.not_applied += sum(verdict.outcome != "applied" for verdict in answer.verdicts)
                    tally.push_seconds.append(time.perf_counter() - arrived)
                    steps.pop(0)
                else:
                    page = await device.pull(cursor, 5_000)
                    cursor = page.cursor
                    steps = ["pull"] if page.more else []
            except (NotAsExpected, Unanswered, TimeoutError) as error:
                retries += 1
                await _wait_as_asked(error, chance, tally)
    tally.retried[retries] += 1
    tally.seconds.append(time.perf_counter() - arrived)


async def _wait_as_asked(error: Exception, chance: random.Random, tally: Tally) -> None:
    """Wait as the SDK does: what was asked for, and up to a second more."""
    asked = 0
    if isinstance(error, NotAsExpected):
        if error.retry_after_s is None:
            raise error
        asked = error.retry_after_s
    tally.refused[error.code or "" if isinstance(error, NotAsExpected) else type(error).__name__] += 1
    await asyncio.sleep(asked + chance.random())


async def _held(url: str) -> int:
    """How many changes the database holds."""
    database = open_database(url, 1)
    async with database.read_engine.connect() as connection:
        held = (await connection.execute(select(func.count()).select_from(changes))).scalar_one()
    await database.close()
    return int(held)
