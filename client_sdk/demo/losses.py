"""Scenes `restore` and `lost-phone`: the server loses its memory, and a person loses a phone."""

from contextlib import AsyncExitStack

from client_sdk import Wiped
from client_sdk.demo import show
from client_sdk.demo.city import COST, NAMES, cost, gather, report_finding
from client_sdk.demo.stage import Stage
from field_schemas.codes import CODES
from field_schemas.types.component import Component
from field_schemas.types.finding import Finding


async def play_restore(stage: Stage) -> None:
    """The server comes back from a backup that is older than acknowledged work."""
    async with AsyncExitStack() as devices:
        show.scene(("恢复：服务器退回到较早的备份", "Restore: the server comes back from an older backup"))
        cast = await gather(stage, devices)
        backup = str(stage.folder / "backup.db")
        await stage.command("backup", backup)
        place = (await cast.li.find(Component, limit=1))[0]
        await cast.li.update(place, inspections=1)
        made = [await report_finding(cast.li, place, f"第{number}号问题") for number in range(3)]
        await cast.li.sync()
        waiting = await report_finding(cast.li, place, "尚未上传的问题")
        await stage.stop_server()
        await stage.command("restore", backup)
        await stage.start_server()
        show.say(
            (
                "李娜的工作服务器已确认，随后服务器被退回到那之前。",
                "Li Na's work was acknowledged; then the server was set back to before it.",
            )
        )
        rows = []
        for name, device in cast:
            report = await device.sync()
            rows.append((name, report.pushed, report.pulled, *cost(report)))
        await cast.chief.sync()
        show.table((("设备", "device of"), ("重发", "sent"), ("记录", "records"), *COST), rows)
        there = [await cast.chief.get(Finding, one.id) for one in (*made, waiting)]
        now = await cast.chief.get(Component, place.id)
        show.check(
            all(there),
            (
                "所有问题都回到了服务器，无论当时是否已确认",
                "all findings are on the server again, acknowledged or not",
            ),
        )
        show.check(
            now is not None and now.inspections == place.inspections + 1,
            ("计数每次只算一次", "and the counter counts each once"),
        )


async def play_lost_phone(stage: Stage) -> None:
    """A phone is lost with unsent work on it."""
    async with AsyncExitStack() as devices:
        show.scene(("手机丢失：工作另存，副本清除", "A lost phone: its work is kept apart, its copies are wiped"))
        cast = await gather(stage, devices)
        place = (await cast.li.find(Component, limit=1))[0]
        finding = await report_finding(cast.wang, place, "丢失前上报的问题")
        await stage.command("device", "revoke", str(cast.wang.id))
        try:
            await cast.wang.sync()
            wiped = False
        except Wiped:
            wiped = True
        left = len(await cast.wang.find(Component)) if not wiped else 0
        await cast.chief.sync()
        unseen = await cast.chief.get(Finding, finding.id) is None
        (refusal,) = [one for one in await cast.chief.refusals() if one.code == "device_quarantined"]
        reason = CODES[refusal.code].title
        show.table(
            (("作者", "author"), ("原因", "why"), ("内容", "what")),
            [(NAMES[refusal.author], (reason.zh, reason.en), refusal.refused["text"])],
            ("赵磊的待办", "On Zhao Lei's list"),
        )
        await cast.chief.apply_refused(refusal)
        await cast.chief.sync()
        applied = await cast.chief.get(Finding, finding.id)
        show.check(wiped and left == 0, ("手机交出工作后清空了自己", "the phone sent its work and wiped itself"))
        show.check(unseen, ("这些工作没有自动生效", "the work did not count by itself"))
        show.check(applied is not None, ("主管同意后才生效", "after the supervisor's word it does"))
