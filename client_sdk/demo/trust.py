"""Scenes `undo`, `repair` and `receipt`: who did it, is this copy right, does the server have it all?"""

import sqlite3
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

from client_sdk import Device
from client_sdk.demo import show
from client_sdk.demo.city import NAMES, gather, report_finding, sign_in
from client_sdk.demo.stage import Stage
from client_sdk.demo.words import show_history
from field_schemas.types.component import Component
from sync.messages import Outcome
from sync.receipts import CHAIN_START, chained

LOST, TAMPERED = 5, 3


async def play_undo(stage: Stage) -> None:
    """A change that went wrong, its history, and its undo."""
    async with AsyncExitStack() as devices:
        show.scene(("撤销：谁改了什么，又如何收回", "Undo: who changed what, and taking it back"))
        cast = await gather(stage, devices)
        lamp = (await cast.li.find(Component, condition="good", limit=1))[0]
        await cast.li.update(lamp, condition="missing", inspections=2, remark="记错了位置")
        await cast.li.sync()
        await cast.chief.sync()
        wrong = (await cast.chief.history(lamp))[-1]
        done = await cast.chief.undo(wrong)
        await cast.chief.sync()
        await cast.li.sync()
        entries = await cast.chief.history(lamp)
        title = (f"{lamp.name} 的最近历史", f"The end of the history of {lamp.name}")
        show_history(Component, entries[-2:], title)
        now = await cast.li.get(Component, lamp.id)
        show.check(
            now is not None and (now.condition, now.inspections) == (lamp.condition, lamp.inspections),
            (
                "撤销恢复了状况，计数也退了回来，网格员手机上亦然",
                "the undo restored the condition and counted back, on the inspector's phone too",
            ),
        )
        show.check(not done.kept, ("没有撤不回的内容", "nothing was left that cannot be undone"))
        show.check(
            [entry.user for entry in entries[-2:]] == ["li.na", "zhao.lei"],
            ("历史里两步都在：出错的和撤销的", "the history keeps both: what went wrong, and its undo"),
        )


async def play_repair(stage: Stage) -> None:
    """A store that lost and changed records behind the SDK's back."""
    async with AsyncExitStack() as devices:
        show.scene(("修复：悄悄损坏的副本会被发现并补好", "Repair: a copy that silently broke is found and mended"))
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
            (what, fetched, f"{received / 1000:,.0f} kB")
            for what, fetched, received in (
                (("全部重新下载", "fetch everything again"), first.pulled, first.bytes_received),
                (("比对并修复", "compare and mend"), report.fetched, report.bytes_received),
                (("再比对一次", "compare again"), again.fetched, again.bytes_received),
            )
        ]
        show.table((("做法", "what"), ("下载记录", "records fetched"), ("接收", "received")), rows)
        show.check(
            len(whole) - len(broken) == LOST,
            (
                f"弄丢了 {LOST} 个部件，{TAMPERED} 个退回旧版",
                f"{LOST} components were lost and {TAMPERED} fell back",
            ),
        )
        show.check(
            mended == whole,
            (
                "修复后部件齐全，与服务器一致",
                "after the repair all components are there, as the server has them",
            ),
        )
        show.check(again.fetched == 0, ("再看一遍，没有差异", "a second look finds nothing"))


async def play_receipt(stage: Stage) -> None:
    """The server signs for everything a phone has ever sent, and the phone checks it by itself."""
    async with AsyncExitStack() as devices:
        show.scene(("回执：服务器签字确认，一条不缺", "A receipt: the server signs that nothing is missing"))
        li = await sign_in(stage, devices, "li.na")
        await li.sync()
        place = (await li.find(Component, limit=1))[0]
        for number in range(3):
            await report_finding(li, place, f"第{number + 1}号问题")
        await li.update(place, inspections=1)
        await li.sync()
        receipt = await li.receipt()
        issued = datetime.fromtimestamp(receipt.issued_ms / 1000, UTC)
        show.table(
            (("回执写着", "the receipt says"), ""),
            [
                (("谁的手机", "whose phone"), NAMES[receipt.user]),
                (("收齐的更改", "changes received"), (f"第 1 至 {receipt.held} 条", f"1 to {receipt.held}")),
                (("这些更改及结论的指纹", "fingerprint of them, verdicts included"), receipt.chain[:16] + "…"),
                (("签发时间", "signed at"), f"{issued:%Y-%m-%d %H:%M:%S} UTC"),
            ],
        )
        own = [(one.change, one.outcome) for one in await li.verdicts() if one.outcome]
        show.check(
            receipt.held == len(own) == 4, ("手机发出的每一条都在内", "every change the phone ever sent is in it")
        )
        show.check(
            chained(CHAIN_START, own) == receipt.chain,
            ("手机自己算出的指纹相同", "the phone works out the same fingerprint by itself"),
        )
        altered = [*own[:-1], (own[-1][0], Outcome.REFUSED)]
        show.check(
            chained(CHAIN_START, altered) != receipt.chain and chained(CHAIN_START, own[1:]) != receipt.chain,
            (
                "少一条，或改一个结论，指纹就对不上",
                "one change less, or one other verdict, and it would not fit",
            ),
        )
        show.check(
            li.last_receipt == receipt,
            ("签名已核对，回执留在手机里", "the signature was checked, and the receipt stays on the phone"),
        )


def _break(path: Path) -> None:
    with sqlite3.connect(path) as database:
        rows = database.execute("SELECT rowid FROM records WHERE type = 'component' ORDER BY id").fetchall()
        database.executemany("DELETE FROM records WHERE rowid = ?", rows[:LOST])
        database.executemany("UPDATE records SET version = version - 1 WHERE rowid = ?", rows[-TAMPERED:])
    database.close()
