"""The city every scene plays in: a sample of Futian, four people with their grants, a running server."""

import time
from collections.abc import Awaitable, Iterator
from contextlib import AsyncExitStack
from typing import TypeVar

import msgspec

from client_sdk import Device, SyncReport
from client_sdk.clocks import Clocks
from client_sdk.demo import show
from client_sdk.demo.show import Cell, Words
from client_sdk.demo.stage import Stage
from field_schemas.registry import Registry
from field_schemas.types.component import Component
from field_schemas.types.finding import Finding

STREET, NEXT_STREET, THIRD_STREET = "440304006", "440304007", "440304008"
NAMES = {
    "li.na": ("李娜", "Li Na"),
    "wang.wei": ("王伟", "Wang Wei"),
    "chen.jie": ("陈洁", "Chen Jie"),
    "zhao.lei": ("赵磊", "Zhao Lei"),
}
PEOPLE = {
    "li.na": [("inspector", f"grid:{STREET}")],
    "wang.wei": [("inspector", f"grid:{STREET}"), ("inspector", f"grid:{NEXT_STREET}")],
    "chen.jie": [("supervisor", "grid:440304")],
    "zhao.lei": [("supervisor", f"grid:{STREET}")],
}
DUTIES = {
    "li.na": (f"街道 {STREET} 的网格员", f"inspector of street {STREET}"),
    "wang.wei": (f"街道 {STREET}、{NEXT_STREET} 的网格员", f"inspector of {STREET} and {NEXT_STREET}"),
    "chen.jie": ("全区主管", "supervisor of the whole district"),
    "zhao.lei": (f"街道 {STREET} 的主管", f"supervisor of street {STREET}"),
}
T = TypeVar("T")


class Cast(msgspec.Struct):
    """The devices of two inspectors and a supervisor."""

    li: Device
    wang: Device
    chief: Device

    def __iter__(self) -> Iterator[tuple[Words, Device]]:
        return iter([(NAMES[device.user or ""], device) for device in (self.li, self.wang, self.chief)])


async def prepare(stage: Stage, components: int) -> None:
    """Load the sample, add the people, start the server."""
    show.scene(("一座城、四个人、一台服务器", "A city, four people, one server"))
    steps: list[tuple[Cell, ...]] = []

    async def step(what: str, work: Awaitable[T], result: Words) -> None:
        began = time.perf_counter()
        await work
        steps.append((what, result, f"{time.perf_counter() - began:.1f} s"))

    sample = str(stage.folder / "sample")
    making = stage.command("sample", "--out", sample, "--components", str(components))
    await step("gridwalk sample", making, ("福田区样例", "a sample of Futian"))
    for name, kind, what in (
        ("grids.geojson", "unit_grid", ("单元网格", "unit grids")),
        ("components.csv", "component", ("部件：井盖、路灯……", "components: covers, lamps, ...")),
        ("parks.geojson", "component", ("部件：公园", "components: parks")),
    ):
        await step(f"gridwalk import {name}", stage.command("import", f"{sample}/{name}", "--type", kind), what)
    for name, grants in PEOPLE.items():
        await step(f"gridwalk user add {name}", stage.add_user(name, *grants), DUTIES[name])
    await step("gridwalk serve", stage.start_server(), ("就绪", "ready"))
    show.table((("命令", "command"), ("内容", "what"), ("用时", "time")), steps)


async def gather(stage: Stage, devices: AsyncExitStack, chief: str = "zhao.lei") -> Cast:
    """Three new devices, signed in and synced, and a table of what that took."""
    rows: list[tuple[Cell, ...]] = []
    opened = []
    for user in ("li.na", "wang.wei", chief):
        device = await sign_in(stage, devices, user)
        report = await device.sync()
        rows.append((NAMES[user], report.pulled, *cost(report)))
        opened.append(device)
    show.table((("设备", "device of"), ("记录", "records"), *COST), rows)
    return Cast(*opened)


async def sign_in(
    stage: Stage,
    devices: AsyncExitStack,
    user: str,
    registry: Registry | None = None,
    clocks: Clocks | None = None,
) -> Device:
    """A new device of `user`, signed in, not synced yet."""
    opening = Device.open(stage.new_file(user), server=stage.url, registry=registry, clocks=clocks)
    device = await devices.enter_async_context(opening)
    await device.sign_in(user, stage.password)
    return device


COST: tuple[Words, ...] = (("接收", "received"), ("请求", "requests"), ("用时", "time"))


def cost(report: SyncReport) -> tuple[str, int, str]:
    """What a sync took: bytes received, requests, time."""
    return f"{report.bytes_received / 1000:,.0f} kB", report.requests, f"{report.seconds:.2f} s"


async def report_finding(device: Device, place: Component, text: str, grid: str | None = None) -> Finding:
    """A finding at a component, in its own grid unless another is given."""
    return await device.create(
        Finding(kind="0102", grid=grid or place.grid, text=text, place=place.place, component=place.id)
    )
