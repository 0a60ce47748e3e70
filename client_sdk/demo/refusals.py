"""Scene `refusal`: a change that is refused is work for a person: assigned, corrected, sent again."""

from contextlib import AsyncExitStack

from client_sdk.demo import show
from client_sdk.demo.city import THIRD_STREET, gather, report_finding
from client_sdk.demo.stage import Stage
from client_sdk.demo.words import show_attention
from field_schemas.types.attention import Refusal
from field_schemas.types.component import Component
from field_schemas.types.finding import Finding


async def play(stage: Stage) -> None:
    """Play the scene."""
    async with AsyncExitStack() as devices:
        show.scene(("退回：指派、更正、重新提交", "A refusal: assigned, corrected, sent again"))
        await stage.command("grant", "give", "wang.wei", "inspector", f"grid:{THIRD_STREET}")
        cast = await gather(stage, devices, chief="chen.jie")
        await stage.command("grant", "end", "wang.wei", "inspector", f"grid:{THIRD_STREET}")
        place = (await cast.li.find(Component, limit=1))[0]
        made = await report_finding(cast.wang, place, "盖板破损，网格填错", THIRD_STREET)
        later = await report_finding(cast.wang, place, "旁有杂物")
        await cast.wang.sync()
        await cast.chief.sync()
        (refusal,) = [one for one in await cast.chief.refusals() if one.record == made.id]
        await cast.chief.assign(refusal, "wang.wei")
        await cast.chief.sync()
        passed = await cast.chief.get(Finding, later.id) is not None
        await cast.wang.sync()
        show.say(
            (
                "王伟离线时授权已终止，他上报时填的还是那条街道。陈洁把退回指派给他。",
                "Wang Wei's grant ended while he was offline, and he reported for that street. "
                "Chen Jie assigns the refusal to him.",
            )
        )
        await show_attention(cast.wang)
        (own,) = [one for one in await cast.wang.refusals() if one.record == made.id]
        await cast.wang.resend(own, grid=place.grid, text="盖板破损")
        await cast.wang.sync()
        await cast.chief.sync()
        there = await cast.chief.get(Finding, made.id)
        settled = await cast.chief.get(Refusal, own.id)
        show.check(passed, ("退回不挡路：之后的上报已经送达", "it blocks nothing: the next report went through"))
        show.check(
            own.assignee == "wang.wei",
            ("退回连同内容和原因到了他的手机上", "the refusal is on his phone, with what and why"),
        )
        show.check(
            there is not None and (there.grid, there.text) == (place.grid, "盖板破损"),
            ("更正后重新提交，已被采用", "corrected and sent again, it counts"),
        )
        show.check(
            settled is not None and settled.state == "resent",
            ("退回的记录保留，状态为已重新提交", "the refusal is kept, as settled"),
        )
