"""Scene `wrong-clock`: a phone whose clock is days off, and work that counts by when it was really done."""

import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from client_sdk import Device
from client_sdk.clocks import Clocks, system_clocks
from client_sdk.demo import show
from client_sdk.demo.city import NAMES, THIRD_STREET, report_finding, sign_in
from client_sdk.demo.show import Cell
from client_sdk.demo.stage import Stage
from field_schemas.types.component import Component
from sync.messages import Outcome

_DAY_MS = 86_400_000
_SURE_WITHIN_MS = 60_000
_LATER_S = 1.0
"""So much later is later beyond what either phone may be wrong by."""


class _Said:
    """What each phone's clock said when a change was made."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, int]] = []

    def note(self, user: str, clocks: Clocks) -> None:
        self.rows.append((user, clocks.wall_ms()))


async def play(stage: Stage) -> None:
    """Play the scene."""
    async with AsyncExitStack() as devices:
        show.scene(("时钟不准：按真正的时间算", "A wrong clock: what counts is the true time"))
        right, ahead, behind = system_clocks(), _off_by(3, "morning"), _off_by(-400, "noon")
        await stage.command("grant", "give", "wang.wei", "inspector", f"grid:{THIRD_STREET}")
        li, said, path = await sign_in(stage, devices, "li.na"), _Said(), stage.new_file("wang.wei")
        await li.sync()
        async with Device.open(path, server=stage.url, clocks=ahead) as wang:
            await wang.sign_in("wang.wei", stage.password)
            await wang.sync()
            cover = (await li.find(Component, limit=1))[0]
            # Signing in takes long, a first sync longer; short syncs tell both phones the time more surely.
            await wang.sync()
            await li.sync()
            await wang.update(cover, material="铸铁")
            said.note("wang.wei", ahead)
            await right.sleep(_LATER_S)
            in_time = await report_finding(wang, cover, "授权期内所见", THIRD_STREET)
            await li.update(cover, material="球墨铸铁")
            said.note("li.na", right)
            await li.sync()
            await stage.command("grant", "end", "wang.wei", "inspector", f"grid:{THIRD_STREET}")
            too_late = await report_finding(wang, cover, "授权终止后所见", THIRD_STREET)
            await wang.sync()
            verdicts = [(await wang.verdicts(one))[0].outcome for one in (in_time, too_late)]
            for refusal in await wang.refusals():
                await wang.dismiss(refusal)
        async with Device.open(path, server=stage.url, clocks=behind) as wang:
            await wang.update(cover, remark="重启后记录")
            said.note("wang.wei", behind)
            await wang.sync()
        await li.sync()
        now = await li.get(Component, cover.id)
        await _show_times(li, cover, said)
        show.check(
            now is not None and now.material == "球墨铸铁",
            (
                "真正后写的算数，尽管另一部手机的钟快三天",
                "who wrote later in truth prevails, though the other phone's clock is three days ahead",
            ),
        )
        show.check(
            verdicts == [Outcome.APPLIED, Outcome.REFUSED],
            (
                "离线时的授权按采集时刻判断：授权期内的有效，终止之后的退回",
                "rights count as of the moment: done while permitted it holds, done afterwards it is refused",
            ),
        )


async def _show_times(li: Device, cover: Component, said: _Said) -> None:
    items = (await li.history(cover))[-len(said.rows) :]
    items.sort(key=lambda item: item.at_ms)
    rows: list[tuple[Cell, ...]] = []
    for (user, wall_ms), item in zip(said.rows, items, strict=True):
        bound = "?" if item.error_ms is None else f"± {item.error_ms / 1000:.2f} s"
        rows.append((NAMES[user], _moment(wall_ms), _moment(item.at_ms), bound))
    columns = (("谁", "who"), ("手机的钟", "the phone's clock"), ("推定时间 (UTC)", "time on record (UTC)"))
    show.table((*columns, ("误差", "off by at most")), rows)
    within = time.time_ns() // 1_000_000 - _SURE_WITHIN_MS
    show.check(
        all(item.at_ms > within and item.error_ms is not None and item.error_ms < _SURE_WITHIN_MS for item in items),
        (
            "每条更改的时间都对，误差有界，手机重启过也一样",
            "each time on record is right within a known bound, also after the phone was restarted",
        ),
    )


def _off_by(days: int, boot: str) -> Clocks:
    """The clocks of a phone that was started at `boot` and shows a time that many days off."""
    clocks = system_clocks()
    return Clocks(lambda: clocks.wall_ms() + days * _DAY_MS, clocks.monotonic_ms, boot, clocks.sleep)


def _moment(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
