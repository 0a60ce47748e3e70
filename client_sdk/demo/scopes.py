"""Scene `scopes`: records and grants that move while phones are away."""

from contextlib import AsyncExitStack

from client_sdk import Device
from client_sdk.demo import show
from client_sdk.demo.city import NEXT_STREET, STREET, gather
from client_sdk.demo.stage import Stage
from field_schemas.types.component import Component
from field_schemas.types.finding import Finding

THIRD_STREET = "440304008"


async def play(stage: Stage) -> bool:
    """Play the scene; whether everything it claims turned out true."""
    async with AsyncExitStack() as devices:
        show.scene("Scopes: everybody has what lies in the own area, and nothing else")
        cast = await gather(stage, devices)
        moving = (await cast.li.find(Component, limit=1))[0]
        grid = next(one.grid for one in await cast.chen.find(Component) if one.grid.startswith(THIRD_STREET))
        before = await _counts(cast.li)
        await cast.chen.update(moving, grid=grid)
        await cast.chen.sync()
        await cast.li.sync()
        gone = await cast.li.get(Component, moving.id) is None
        await stage.command("grant", "give", "li.na", "inspector", f"grid:{THIRD_STREET}")
        arrived = await cast.li.sync()
        given = await _counts(cast.li)
        whole = await cast.li.get(Component, moving.id)
        note = await cast.li.create(
            Finding(kind="0102", grid=grid, text="授权期内离线上报", place=moving.place, component=moving.id)
        )
        await stage.command("grant", "end", "li.na", "inspector", f"grid:{THIRD_STREET}")
        ended = await cast.li.sync()
        after = await _counts(cast.li)
        rows = [
            ("before", *before, ""),
            (f"a component moves to {THIRD_STREET}: forgotten here", before[0] - 1, *before[1:], ""),
            (f"li.na is granted {THIRD_STREET}", *given, f"{arrived.pulled:,} arrive"),
            ("the grant ends", *after, f"{ended.forgotten:,} forgotten"),
        ]
        show.table(("on 李娜's phone", STREET, NEXT_STREET, THIRD_STREET, "sync"), rows)
        seen = await cast.chen.sync() and await cast.chen.get(Finding, note.id)
        checks = [
            show.check(gone, "the component that moved away was forgotten"),
            show.check(whole is not None and whole.code == moving.code, "with the grant it came back, whole"),
            show.check(after[2] == 0, "with the grant's end all of the street was forgotten"),
            show.check(seen is not None, "what was reported while the grant held reached the supervisor"),
        ]
        return all(checks)


async def _counts(device: Device) -> tuple[int, int, int]:
    """Components on a device, by street."""
    grids = [component.grid for component in await device.find(Component)]
    first, second, third = (sum(grid.startswith(s) for grid in grids) for s in (STREET, NEXT_STREET, THIRD_STREET))
    return first, second, third
