"""The city every scene plays in: a sample of Futian, three people with their grants, a running server."""

import time
from collections.abc import Awaitable, Iterator
from contextlib import AsyncExitStack
from typing import TypeVar

import msgspec

from client_sdk import Device, SyncReport
from client_sdk.demo import show
from client_sdk.demo.stage import Stage

STREET, NEXT_STREET = "440304006", "440304007"
PEOPLE = (
    ("li.na", [("inspector", f"grid:{STREET}")]),
    ("wang.wei", [("inspector", f"grid:{STREET}"), ("inspector", f"grid:{NEXT_STREET}")]),
    ("chen.jie", [("supervisor", "grid:440304")]),
)
T = TypeVar("T")


class Cast(msgspec.Struct):
    """The devices of the three people."""

    li: Device
    wang: Device
    chen: Device

    def __iter__(self) -> Iterator[tuple[str, Device]]:
        return iter((("李娜", self.li), ("王伟", self.wang), ("陈洁", self.chen)))


async def prepare(stage: Stage, components: int) -> None:
    """Load the sample, add the people, start the server."""
    show.scene("A city, three people, one server")
    steps: list[tuple[str, str, str]] = []

    async def step(what: str, work: Awaitable[T], result: str) -> None:
        began = time.perf_counter()
        await work
        steps.append((what, result, f"{time.perf_counter() - began:.1f} s"))

    sample = str(stage.folder / "sample")
    await step("gridwalk sample", stage.command("sample", "--out", sample, "--components", str(components)), "Futian")
    for name, kind in (
        ("grids.geojson", "unit_grid"),
        ("components.csv", "component"),
        ("parks.geojson", "component"),
    ):
        await step(f"gridwalk import {name}", stage.command("import", f"{sample}/{name}", "--type", kind), kind)
    for name, grants in PEOPLE:
        what = ", ".join(" ".join(grant) for grant in grants)
        await step(f"gridwalk user add {name}", stage.add_user(name, *grants), what)
    await step("gridwalk serve", stage.start_server(), "ready")
    show.table(("command", "what", "time"), steps)


async def gather(stage: Stage, devices: AsyncExitStack) -> Cast:
    """Three new devices, signed in and synced, and a table of what that took."""
    rows = []
    opened = []
    for user, _ in PEOPLE:
        device = await devices.enter_async_context(Device.open(stage.new_file(user), server=stage.url))
        await device.sign_in(user, stage.password)
        report = await device.sync()
        rows.append((user, report.pulled, *cost(report)))
        opened.append(device)
    show.table(("device of", "records", "received", "requests", "time"), rows)
    return Cast(*opened)


def cost(report: SyncReport) -> tuple[str, int, str]:
    """What a sync took: bytes received, requests, time."""
    return f"{report.bytes_received / 1000:,.0f} kB", report.requests, f"{report.seconds:.2f} s"
