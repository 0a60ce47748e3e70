"""Scenes `undo` and `repair`: what happened, who did it, and is this copy what the server has?"""

import sqlite3
from contextlib import AsyncExitStack
from pathlib import Path

from client_sdk import Device
from client_sdk.demo import show
from client_sdk.demo.city import gather
from client_sdk.demo.stage import Stage
from field_schemas.types.component import Component

LOST, TAMPERED = 5, 3


async def play_undo(stage: Stage) -> bool:
    """A change that went wrong, its history, and its undo."""
    async with AsyncExitStack() as devices:
        show.scene("Undo: who changed what, and taking it back")
        cast = await gather(stage, devices)
        lamp = (await cast.li.find(Component, condition="good", limit=1))[0]
        await cast.li.update(lamp, condition="missing", inspections=1, remark="记错了位置")
        await cast.li.sync()
        await cast.chen.sync()
        wrong = (await cast.chen.history(lamp))[-1]
        done = await cast.chen.undo(wrong)
        await cast.chen.sync()
        await cast.li.sync()
        entries = await cast.chen.history(lamp)
        rows = [
            (entry.user, entry.outcome, field.label.text("zh"), _shown(field.before), _shown(field.operand))
            for entry in entries[-2:]
            for field in entry.fields
            if field.changed
        ]
        show.table(("who", "verdict", "field", "before", "after"), rows, f"The end of the history of {lamp.name}")
        receipt = cast.li.last_receipt
        now = await cast.li.get(Component, lamp.id)
        checks = [
            show.check(
                now is not None and (now.condition, now.inspections) == (lamp.condition, lamp.inspections),
                "the undo restored the condition and counted back, on the inspector's phone too",
            ),
            show.check(not done.kept, "nothing was left that cannot be undone"),
            show.check(
                receipt is not None, f"the server has signed for 李娜's changes 1 to {receipt.held if receipt else 0}"
            ),
        ]
        return all(checks)


def _shown(value: object) -> str:
    return "–" if value is None else str(value)


async def play_repair(stage: Stage) -> bool:
    """A store that lost and changed records behind the SDK's back."""
    async with AsyncExitStack() as devices:
        show.scene("Repair: a copy that silently broke is found and mended")
        path = stage.new_file("li.na")
        async with Device.open(path, server=stage.url) as device:
            await device.sign_in("li.na", stage.password)
            first = await device.sync()
            whole = {one.id: one for one in await device.find(Component)}
        _break(path)
        device = await devices.enter_async_context(Device.open(path, server=stage.url))
        broken = {one.id: one for one in await device.find(Component)}
        report = await device.verify()
        mended = {one.id: one for one in await device.find(Component)}
        again = await device.verify()
        rows = [
            ("fetch everything again", first.pulled, f"{first.bytes_received / 1000:,.0f} kB"),
            ("compare and mend", report.fetched, f"{report.bytes_received / 1000:,.0f} kB"),
            ("compare again", again.fetched, f"{again.bytes_received / 1000:,.0f} kB"),
        ]
        show.table(("what", "records fetched", "received"), rows)
        checks = [
            show.check(len(whole) - len(broken) == LOST, f"{LOST} components were lost and {TAMPERED} fell back"),
            show.check(mended == whole, "after the repair all components are there, as the server has them"),
            show.check(again.fetched == 0, "a second look finds nothing"),
        ]
        return all(checks)


def _break(path: Path) -> None:
    with sqlite3.connect(path) as database:
        rows = database.execute("SELECT rowid FROM records WHERE type = 'component' ORDER BY id").fetchall()
        database.executemany("DELETE FROM records WHERE rowid = ?", rows[:LOST])
        database.executemany("UPDATE records SET version = version - 1 WHERE rowid = ?", rows[-TAMPERED:])
    database.close()
