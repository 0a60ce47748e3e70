"""Scenes `restore` and `lost-phone`: the server loses its memory, and a person loses a phone."""

from contextlib import AsyncExitStack

from client_sdk import Device, Wiped
from client_sdk.demo import show
from client_sdk.demo.city import cost, gather
from client_sdk.demo.stage import Stage
from field_schemas.types.component import Component
from field_schemas.types.finding import Finding


async def play_restore(stage: Stage) -> bool:
    """The server comes back from a backup that is older than acknowledged work."""
    async with AsyncExitStack() as devices:
        show.scene("Restore: the server comes back from an older backup")
        cast = await gather(stage, devices)
        backup = str(stage.folder / "backup.db")
        await stage.command("backup", backup)
        place = (await cast.li.find(Component, limit=1))[0]
        await cast.li.update(place, inspections=1)
        made = [await _report(cast.li, place, number) for number in range(3)]
        await cast.li.sync()
        waiting = await _report(cast.li, place, 4)
        await stage.stop_server()
        await stage.command("restore", backup)
        await stage.start_server()
        show.say("李娜's work was acknowledged; then the server was set back to before it.")
        rows = []
        for name, device in cast:
            report = await device.sync()
            rows.append((name, report.pushed, report.pulled, *cost(report)))
        await cast.chen.sync()
        show.table(("device of", "sent", "records", "received", "requests", "time"), rows)
        there = [await cast.chen.get(Finding, one.id) for one in (*made, waiting)]
        now = await cast.chen.get(Component, place.id)
        checks = [
            show.check(all(there), "all findings are on the server again, acknowledged or not"),
            show.check(
                now is not None and now.inspections == place.inspections + 1, "and the counter counts each once"
            ),
        ]
        return all(checks)


async def play_lost_phone(stage: Stage) -> bool:
    """A phone is lost with unsent work on it."""
    async with AsyncExitStack() as devices:
        show.scene("A lost phone: its work is kept apart, its copies are wiped")
        cast = await gather(stage, devices)
        place = (await cast.wang.find(Component, limit=1))[0]
        finding = await _report(cast.wang, place, 7)
        await stage.command("device", "revoke", str(cast.wang.id))
        try:
            await cast.wang.sync()
            wiped = False
        except Wiped:
            wiped = True
        left = len(await cast.wang.find(Component)) if not wiped else 0
        await cast.chen.sync()
        unseen = await cast.chen.get(Finding, finding.id) is None
        (refusal,) = [one for one in await cast.chen.refusals() if one.code == "device_quarantined"]
        show.table(
            ("author", "type", "why", "what"),
            [(refusal.author, refusal.record_type, refusal.code, refusal.refused["text"])],
            "On 陈洁's list",
        )
        await cast.chen.apply_refused(refusal)
        await cast.chen.sync()
        applied = await cast.chen.get(Finding, finding.id)
        checks = [
            show.check(wiped and left == 0, "the phone sent its work and wiped itself"),
            show.check(unseen, "the work did not count by itself"),
            show.check(applied is not None, "after the supervisor's word it does"),
        ]
        return all(checks)


async def _report(device: Device, place: Component, number: int) -> Finding:
    text = f"第{number}号问题：{place.name or place.code} 旁有杂物"
    return await device.create(
        Finding(kind="0102", grid=place.grid, text=text, place=place.place, component=place.id)
    )
