"""What a day's patrol costs on the wire: eight hours, 5,000 track points, 60 findings, without media."""

import asyncio
import logging
import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import structlog

from client_sdk import Device, TrackRecorder
from client_sdk.clocks import Clocks
from field_schemas.access import Role
from field_schemas.places import Position
from field_schemas.track_points import TrackPoint
from field_schemas.types.component import Component
from field_schemas.types.finding import Finding
from field_schemas.types.patrol import PatrolShift, Punch, Track
from sync.clock import stamp_at
from sync.ids import uuid7
from sync.messages import MAX_BATCH
from tests.bench.figures import Figure, Goal, figure
from tests.bench.wire_tap import Tap
from tests.integration.http_server import GRID, PASSWORD, STREET, HttpServer

MINUTE_MS = 60_000
START_MS = 1_790_000_000_000
SYNCS, EVERY_MIN = 32, 15
POINTS, FINDINGS, COMPONENTS = 5_000, 60, 600
SMALL = 20
SMALL_GOAL = Goal(at_most=120)
BASE = "one change as plain JSON"
PLACES = ("香梅路", "红荔路", "莲花支路", "景田南路", "新闻路", "商报路", "侨香路", "安托山一路")
FAULTS = (
    "盖板破损，边缘翘起，行人易绊倒",
    "路灯不亮",
    "暴露垃圾约两立方米",
    "护栏缺失，已放置警示锥",
    "路面坑洼积水",
)


class Spent(msgspec.Struct, frozen=True):
    """Requests, bytes of bodies as they travelled, and all bytes, headers included."""

    requests: int
    bodies: int
    wire: int


class Day:
    """One inspector's device behind a tap, a colleague's beside it, and the time of the day."""

    def __init__(self, server: HttpServer, tap: Tap, device: Device, colleague: Device) -> None:
        self.server = server
        self.tap = tap
        self.device = device
        self.colleague = colleague
        self.rng = random.Random(1)
        self.points = 0
        self.spent = Spent(0, 0, 0)

    @property
    def now(self) -> datetime:
        """The time of the day."""
        return datetime.fromtimestamp(self.server.now_ms / 1000, UTC)

    async def sync(self) -> Spent:
        """Sync the inspector's device; what that cost."""
        before = self.tap.up + self.tap.down
        report = await self.device.sync()
        wire = self.tap.up + self.tap.down - before
        cost = Spent(report.requests, report.bytes_sent + report.bytes_received, wire)
        self.spent = _sum(self.spent, cost)
        return cost

    async def patrol(self) -> None:
        """Eight hours: a walk, findings, inspections; every quarter of an hour a sync."""
        here = Position(114.0391, 22.5518, accuracy_m=5.0)
        shift = await self.device.create(
            PatrolShift(inspector=self.device.user or "", grid=STREET, starts_at=self.now)
        )
        shift = await self.device.update(shift, state="on_duty", punches=[Punch("in", self.now, here)])
        track = await self.device.create(Track(grid=STREET, shift=shift.id))
        components = await self.device.find(Component)
        async with TrackRecorder(self.device, track) as recorder:
            for turn in range(SYNCS):
                await self._walk(recorder, turn)
                await self._report(turn, components)
                await self._others(turn)
                await recorder.flush()
                if turn == SYNCS - 1:
                    await self.device.update(shift, state="ended", punches=[Punch("out", self.now, here)])
                await self.sync()

    async def _walk(self, recorder: TrackRecorder, turn: int) -> None:
        began = self.server.now_ms
        until = POINTS * (turn + 1) // SYNCS
        step_ms = EVERY_MIN * MINUTE_MS // (until - self.points)
        for number in range(self.points, until):
            self.server.now_ms += step_ms
            bend, stray = number / 150, self.rng.gauss(0, 2e-5)
            lon, lat = 114.04 + 8e-3 * math.cos(bend) + stray, 22.55 + 6e-3 * math.sin(bend / 2) - stray
            accuracy = self.rng.choice((3.0, 4.0, 5.0, 8.0))
            jitter = self.rng.randrange(-40, 40)
            await recorder.add(TrackPoint(lon, lat, self.server.now_ms + jitter, accuracy))
        self.server.now_ms = began + EVERY_MIN * MINUTE_MS
        self.points = until

    async def _report(self, turn: int, components: list[Component]) -> None:
        for _ in range(FINDINGS * (turn + 1) // SYNCS - FINDINGS * turn // SYNCS):
            beside = self.rng.choice(components)
            await self.device.create(
                Finding(
                    kind="0102",
                    grid=GRID,
                    text=f"{self.rng.choice(PLACES)}{self.rng.randrange(1, 300)}号{self.rng.choice(FAULTS)}",
                    place=Position(beside.place.lon, round(beside.place.lat + 1e-5, 6), accuracy_m=5.0),
                    component=beside.id,
                    reported_at=self.now,
                )
            )
        for one in self.rng.sample(components, 4):
            await self.device.update(one, inspections=1, last_inspected_at=self.now)

    async def _others(self, turn: int) -> None:
        """What a colleague does meanwhile in the same area."""
        for one in self.rng.sample(await self.colleague.find(Component), 5):
            await self.colleague.update(one, remark=f"第{turn}次复查，{self.rng.choice(FAULTS)}")
        await self.colleague.sync()

    async def small(self, count: int) -> tuple[Spent, Spent]:
        """What `count` small changes cost: a sync with them less one without; and that sync as a whole."""
        self.server.now_ms += MINUTE_MS
        empty = await self._cheapest()
        for one in (await self.device.find(Component))[:count]:
            await self.device.update(one, condition=self.rng.choice(("good", "worn")), inspections=1)
        full = await self.sync()
        more = Spent(full.requests - empty.requests, full.bodies - empty.bodies, full.wire - empty.wire)
        return more, full

    async def _cheapest(self) -> Spent:
        await self.sync()
        return await self.sync()


def _sum(one: Spent, other: Spent) -> Spent:
    return Spent(one.requests + other.requests, one.bodies + other.bodies, one.wire + other.wire)


@asynccontextmanager
async def begun(folder: Path) -> AsyncIterator[Day]:
    """A morning: a server, an area with its components, two devices that hold it."""
    settings = {"max_batch": MAX_BATCH, "max_body_bytes": 2**24}
    with HttpServer(folder, f"sqlite:///{folder}/day.db", **settings) as server:
        tap = Tap(server.url)
        start = server.now_ms
        clocks = Clocks(lambda: server.now_ms, lambda: server.now_ms - start, "day", _never)
        user = await asyncio.to_thread(server.new_user, (f"grid:{STREET}", Role.INSPECTOR))
        other = await asyncio.to_thread(server.new_user, (f"grid:{STREET}", Role.SUPERVISOR))
        async with (
            tap.listening() as url,
            Device.open(folder / "li.db", server=url, clocks=clocks) as device,
            Device.open(folder / "chen.db", server=server.url, clocks=clocks) as colleague,
        ):
            await device.sign_in(user, PASSWORD)
            await colleague.sign_in(other, PASSWORD)
            await _furnish(colleague)
            await colleague.sync()
            await device.sync()
            yield Day(server, tap, device, colleague)


async def _furnish(device: Device) -> None:
    async with device.batch() as batch:
        for number in range(COMPONENTS):
            place = Position(round(114.03 + number % 30 * 5e-4, 6), round(22.545 + number // 30 * 5e-4, 6))
            code = f"440304007{number:07d}"
            batch.create(Component(code=code, kind="0102", grid=GRID, place=place, name=f"雨水井盖 {number}"))


async def _never(seconds: float) -> None:
    raise RuntimeError(f"nothing waits {seconds} s in this day")


async def measure(folder: Path) -> list[Figure]:
    """Bytes and requests of the day, and of small changes within a batch and alone."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    async with begun(folder) as day:
        await day.patrol()
        spent = day.spent
        batch, _ = await day.small(SMALL)
        alone, with_one = await day.small(1)
    bare = _bare_bytes()
    return [
        figure("day's patrol, requests", spent.requests, "requests", "syncs", SYNCS, Goal(at_most=60)),
        figure("day's patrol, on the wire", spent.wire, "bytes", "bodies", spent.bodies, Goal(at_most=1_000_000)),
        figure(f"small change, one of {SMALL}, both ways", batch.wire / SMALL, "bytes", BASE, bare, SMALL_GOAL),
        figure("small change alone, both ways", alone.wire, "bytes", BASE, bare, SMALL_GOAL),
        figure("a sync with one small change, headers and all", with_one.wire, "bytes", BASE, bare),
    ]


def _bare_bytes() -> int:
    """A small change as plain JSON."""
    now = stamp_at(START_MS)
    fields = {"condition": "worn", "inspections": 1}
    captured = {"wall_ms": START_MS, "trusted_ms": START_MS, "elapsed_ms": MINUTE_MS, "error_ms": 20}
    ids = {"id": uuid7(START_MS, bytes), "record": uuid7(START_MS, bytes)}
    change = ids | {"seq": 100, "type": "component", "base": 1_000, "stamp": now, "captured": captured}
    return len(msgspec.json.encode(change | {"fields": fields}))
