"""A small city for SDK tests: a server in the test's process, users, and phones with stores in a folder."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from client_sdk.clocks import Clocks
from client_sdk.device import Device
from field_schemas.access import Grant, Role
from field_schemas.places import Position
from field_schemas.types.component import Component
from field_schemas.types.finding import Finding
from tests.fake_server import REGISTRY, FakeServer
from tests.fake_time import Time

GRID = "440304001001001"
STREET, NEXT_STREET = "grid:440304001", "grid:440304002"
PLACE = Position(114.05, 22.54)
URL = "https://grid.example"


def city() -> FakeServer:
    """A server with two inspectors of one street and a supervisor of the district."""
    server = FakeServer(Time())
    server.add_user("li", Grant(STREET, Role.INSPECTOR))
    server.add_user("wang", Grant(STREET, Role.INSPECTOR))
    server.add_user("chen", Grant("grid:440304", Role.SUPERVISOR))
    return server


@asynccontextmanager
async def opened(
    path: Path,
    server: FakeServer,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    clocks: Clocks | None = None,
    wifi: bool | None = None,
) -> AsyncIterator[Device]:
    """The device whose store is `path`, by true clocks unless others are given, and told of the network by `wifi`."""
    async with Device.open(
        path,
        server=URL,
        registry=REGISTRY,
        transport=transport or server.transport,
        clocks=clocks or server.time.clocks(),
        on_wifi=None if wifi is None else lambda: wifi,
    ) as device:
        yield device


@asynccontextmanager
async def phone(
    folder: Path,
    server: FakeServer,
    user: str,
    transport: httpx.AsyncBaseTransport | None = None,
    *,
    wifi: bool | None = None,
) -> AsyncIterator[Device]:
    """The phone of `user`, signed in."""
    async with opened(folder / f"{user}.db", server, transport=transport, wifi=wifi) as device:
        await device.sign_in(user, "secret")
        yield device


def bytes_of(folder: Path) -> bytes:
    """All that lies in the folder, as whoever has the phone can read it."""
    return b"".join(file.read_bytes() for file in sorted(folder.iterdir()))


def component(**fields: Any) -> Component:
    """A component in the street that all have grants for."""
    return Component(**{"code": "4403040101000001", "kind": "0101", "grid": GRID, "place": PLACE, **fields})


def finding(text: str = "盖板破损", **fields: Any) -> Finding:
    """A finding in that street."""
    return Finding(**{"kind": "0102", "grid": GRID, "text": text, "place": PLACE, **fields})
