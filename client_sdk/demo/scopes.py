"""Scene `scopes`: records and grants that move while phones are away."""

from contextlib import AsyncExitStack

from client_sdk import Device
from client_sdk.demo import show
from client_sdk.demo.city import NEXT_STREET, STREET, THIRD_STREET, gather, report_finding
from client_sdk.demo.show import Cell
from client_sdk.demo.stage import Stage
from field_schemas.types.component import Component
from field_schemas.types.finding import Finding


async def play(stage: Stage) -> None:
    """Play the scene."""
    async with AsyncExitStack() as devices:
        show.scene(("范围：各人只有自己辖区内的数据", "Scopes: everybody has what lies in the own area, no more"))
        cast = await gather(stage, devices, chief="chen.jie")
        moving = (await cast.li.find(Component, limit=1))[0]
        grid = next(one.grid for one in await cast.chief.find(Component) if one.grid.startswith(THIRD_STREET))
        before = await _counts(cast.li)
        await cast.chief.update(moving, grid=grid)
        await cast.chief.sync()
        await cast.li.sync()
        gone = await cast.li.get(Component, moving.id) is None
        await stage.command("grant", "give", "li.na", "inspector", f"grid:{THIRD_STREET}")
        arrived = await cast.li.sync()
        given = await _counts(cast.li)
        whole = await cast.li.get(Component, moving.id)
        note = await report_finding(cast.li, moving, "授权期内离线上报", grid)
        await stage.command("grant", "end", "li.na", "inspector", f"grid:{THIRD_STREET}")
        ended = await cast.li.sync()
        after = await _counts(cast.li)
        rows: list[tuple[Cell, ...]] = [
            (("起初", "at first"), *before, ""),
            (("一个部件移到别的街道", "a component moves away"), before[0] - 1, *before[1:], ""),
            (
                (f"获得 {THIRD_STREET} 的授权", f"she is granted {THIRD_STREET}"),
                *given,
                (f"收到 {arrived.pulled:,}", f"{arrived.pulled:,} arrive"),
            ),
            (("授权终止", "the grant ends"), *after, (f"清除 {ended.forgotten:,}", f"{ended.forgotten:,} forgotten")),
        ]
        columns = (("李娜手机上的部件", "components on Li Na's phone"), STREET, NEXT_STREET, THIRD_STREET)
        show.table((*columns, ("同步", "sync")), rows)
        await cast.chief.sync()
        seen = await cast.chief.get(Finding, note.id)
        show.check(gone, ("移走的部件已从手机清除", "the component that moved away was forgotten"))
        show.check(
            whole is not None and whole.code == moving.code,
            ("有了授权，它又完整地回来", "with the grant it came back, whole"),
        )
        show.check(
            after[2] == 0, ("授权终止后，整条街道都已清除", "with the grant's end all of the street was forgotten")
        )
        show.check(
            seen is not None,
            ("授权期内的上报送达了主管", "what was reported while the grant held reached the supervisor"),
        )


async def _counts(device: Device) -> tuple[int, int, int]:
    """Components on a device, by street."""
    grids = [component.grid for component in await device.find(Component)]
    first, second, third = (sum(grid.startswith(s) for grid in grids) for s in (STREET, NEXT_STREET, THIRD_STREET))
    return first, second, third
