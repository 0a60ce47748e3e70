"""Scene `case`: a case goes to a department and to those who take part in it, and leaves them again."""

import asyncio
from contextlib import AsyncExitStack

from client_sdk import Device
from client_sdk.demo import show
from client_sdk.demo.city import NAMES, STREET, sign_in
from client_sdk.demo.show import Cell
from client_sdk.demo.stage import Stage
from field_schemas.types.case import Case, CaseNote
from field_schemas.types.component import Component

NUMBER, DEPARTMENT, NEXT_DEPARTMENT = "2026-1120-0001", "urban-mgmt", "water"
OFFICER, EXPERT = ("孙燕", "Sun Yan"), ("周敏", "Zhou Min")


async def play(stage: Stage) -> None:
    """Play the scene."""
    async with AsyncExitStack() as devices:
        show.scene(("案件：到部门，到参与人，再离开", "A case: to a department and those who take part, and away"))
        await asyncio.gather(
            stage.add_user("sun.yan", ("officer", f"dept:{DEPARTMENT}"), ("officer", f"case:{NUMBER}")),
            stage.add_user("zhou.min", ("responder", f"case:{NUMBER}")),
        )
        li, chief, officer, expert = [
            await sign_in(stage, devices, user) for user in ("li.na", "zhao.lei", "sun.yan", "zhou.min")
        ]
        phones = (li, officer, expert)
        rows: list[tuple[Cell, ...]] = []
        case = await li.create(Case(number=NUMBER, subject="井盖下陷", kind="0102", grid=STREET))
        await _sync(li, chief)
        filed = await chief.update(case, state="filed")
        await chief.update(filed, state="dispatched", department=DEPARTMENT)
        await _sync(chief, *phones)
        rows.append((("立案，派给城管部门", "filed, and sent to a department"), *await _held(*phones)))
        only_the_case = (await officer.find(Component), len(await officer.find(Case))) == ([], 1)
        (own,) = await officer.find(Case)
        await officer.update(own, state="handling")
        await officer.create(CaseNote(case=NUMBER, text="已围挡，需要水务配合"))
        await _sync(officer, chief, *phones)
        rows.append((("她接手，并写下记录", "she takes it on, and writes a note"), *await _held(*phones)))
        handled = await chief.get(Case, case.id)
        notes = [len(await phone.find(CaseNote)) for phone in phones]
        await stage.command("grant", "end", "sun.yan", "officer", f"case:{NUMBER}")
        await chief.update(handled or case, department=NEXT_DEPARTMENT)
        await _sync(chief, *phones)
        rows.append((("转给水务，她退出", "it goes to another; she takes no more part"), *await _held(*phones)))
        left = (await officer.find(Case), len(await officer.find(CaseNote)))
        await stage.command("grant", "end", "zhou.min", "responder", f"case:{NUMBER}")
        await _sync(expert)
        rows.append((("专家的参与结束", "the expert's part ends"), *await _held(*phones)))
        columns = (("手机上的案件 + 记录", "cases + notes on the phone of"), NAMES["li.na"], OFFICER, EXPERT)
        show.table(columns, rows)
        show.check(
            only_the_case,
            (
                "部门人员收到案件，其他数据一概没有",
                "the officer got the department's case, and nothing else",
            ),
        )
        show.check(
            handled is not None and handled.state == "handling",
            ("主管看到她已接手", "the supervisor saw that she had taken it on"),
        )
        show.check(
            notes == [0, 1, 1],
            (
                "记录只给参与人，街道网格员看不到",
                "the note went to those who take part, not to the inspector",
            ),
        )
        show.check(
            left == ([], 1),
            ("转走后案件已从她手机清除，自己的记录还在", "then the case left her phone; her own note stayed"),
        )
        show.check(
            [await expert.find(Case), await expert.find(CaseNote)] == [[], []],
            ("参与结束，专家手机上什么也不剩", "with the expert's part ended, nothing is left on that phone"),
        )


async def _sync(*phones: Device) -> None:
    for phone in phones:
        await phone.sync()


async def _held(*phones: Device) -> list[str]:
    """Cases and notes on each device."""
    return [f"{len(await phone.find(Case))} + {len(await phone.find(CaseNote))}" for phone in phones]
