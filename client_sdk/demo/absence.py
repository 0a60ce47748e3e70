"""Scene `long-absence`: a phone comes back after half a year, when nobody remembers what was deleted."""

import re
import sqlite3
from contextlib import AsyncExitStack, closing

from client_sdk.demo import show
from client_sdk.demo.city import gather, report_finding
from client_sdk.demo.show import Cell
from client_sdk.demo.stage import Stage
from client_sdk.demo.words import show_attention
from field_schemas.types.component import Component
from field_schemas.types.finding import Finding

AWAY_DAYS = 200
_DAY_MS = 86_400_000


async def play(stage: Stage) -> None:
    """Play the scene."""
    async with AsyncExitStack() as devices:
        show.scene(("久别归来：删除的不复活，工作不丢", "A long absence: nothing resurrected, no work lost"))
        cast = await gather(stage, devices)
        removed = (await cast.li.find(Component, limit=1))[0]
        await cast.wang.update(removed, remark="盖板松动")
        made = await report_finding(cast.wang, removed, "离线期间上报的问题")
        await cast.chief.delete(removed)
        for device in (cast.chief, cast.li):
            await device.sync()
        _let_days_pass(stage, AWAY_DAYS)
        for device in (cast.chief, cast.li):
            await device.sync()
        traces = await _purged(stage)
        show.say(
            (
                f"王伟离线时，赵磊删除了一个部件。{AWAY_DAYS} 天后（把服务器的记录往前拨），"
                f"夜间清理丢弃了 {traces} 条删除痕迹。",
                f"While Wang Wei was away, Zhao Lei deleted a component. After {AWAY_DAYS} days (we turn back what "
                f"the server noted) the nightly purge dropped {traces} traces of deletions.",
            )
        )
        before = len(await cast.wang.find(Component))
        report = await cast.wang.sync()
        await cast.chief.sync()
        after = len(await cast.wang.find(Component))
        rows: list[tuple[Cell, ...]] = [
            (("部件", "components"), before, after),
            (("被删除的那个", "the deleted one"), ("有", "there"), ("无", "gone")),
            (("未发送的更改", "unsent changes"), report.pushed, len(await cast.wang.pending())),
        ]
        show.table(
            (("王伟的手机上", "on Wang Wei's phone"), ("归来时", "coming back"), ("同步后", "after sync")), rows
        )
        await show_attention(cast.wang)
        show.check(traces > 0, ("服务器不再记得那次删除", "the server no longer remembers the deletion"))
        resurrected = [await device.get(Component, removed.id) for _, device in cast]
        show.check(
            resurrected == [None, None, None],
            ("被删除的部件在任何设备上都没有复活", "the deleted component came back on no device"),
        )
        show.check(
            await cast.chief.get(Finding, made.id) is not None and not await cast.wang.pending(),
            ("离线期间的上报全部送达", "what was reported while away arrived"),
        )
        refused = [one for one in await cast.wang.refusals() if one.record == removed.id]
        show.check(
            [one.code for one in refused] == ["record_deleted"],
            (
                "对已删部件的更改被退回，并说明了原因",
                "the change to the deleted one was refused, with the reason",
            ),
        )
        for refusal in refused:
            await cast.wang.dismiss(refusal)
        await cast.wang.sync()


def _let_days_pass(stage: Stage, days: int) -> None:
    """Turn back what the server noted of all devices, as if `days` had passed since."""
    with closing(sqlite3.connect(stage.folder / "server.db", timeout=10)) as database, database:
        past = "UPDATE devices SET seen_ms = seen_ms - :ms, enrolled_ms = enrolled_ms - :ms"
        database.execute(past, {"ms": days * _DAY_MS})


async def _purged(stage: Stage) -> int:
    """How many traces of deletions the nightly purge dropped."""
    found = re.search(r"\d+", await stage.command("purge"))
    return int(found[0]) if found else 0
