"""Scene `patrol`: a field day, offline, end to end."""

import math
import time
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import msgspec

from client_sdk import Device, TrackRecorder
from client_sdk.demo import show
from client_sdk.demo.city import NAMES, NEXT_STREET, STREET, Cast, cost, gather
from client_sdk.demo.stage import Stage
from client_sdk.demo.words import LABELS, field_words, show_attention
from field_schemas.places import Position
from field_schemas.record import Record, type_of
from field_schemas.track_points import TrackPoint
from field_schemas.types.component import Component
from field_schemas.types.finding import Finding
from field_schemas.types.grid import UnitGrid
from field_schemas.types.patrol import (
    ChecklistAnswer,
    ChecklistItem,
    PatrolShift,
    PatrolTask,
    Punch,
    Track,
)

TRACK_POINTS = 600
SHARED_TYPES: tuple[type[Record], ...] = (UnitGrid, Component, PatrolTask, Finding)
CHECKLIST = [
    ChecklistItem("cover", "井盖是否完好"),
    ChecklistItem("surface", "路面有无破损"),
    ChecklistItem("rubbish", "有无暴露垃圾"),
]


async def play(stage: Stage) -> None:
    """Play the scene."""
    async with AsyncExitStack() as devices:
        show.scene(("早晨：每台设备登录一次，取回辖区数据", "Morning: each device signs in once and gets its area"))
        cast = await gather(stage, devices, chief="chen.jie")
        await _tasks_arrive(cast)
        await stage.stop_server()
        show.scene(("没有网络，服务器也停了", "The network is gone, the server process too"))
        shared, disputed, forbidden = await _choose(cast)
        await _work_offline(cast.li)
        await _work_offline(cast.wang)
        await cast.li.update(shared, remark="盖板有裂纹，已设警示", tags={"add": ["crack"]}, inspections=1)
        await cast.wang.update(shared, material="球墨铸铁", tags={"add": ["night"]}, inspections=1)
        await cast.li.update(disputed, condition="worn")
        await cast.wang.update(disputed, condition="damaged")
        await stage.command("grant", "end", "wang.wei", "inspector", f"grid:{NEXT_STREET}")
        await cast.wang.update(forbidden, remark="顺路检查")
        await _show_outboxes(cast)
        await _evening(stage, cast)
        await _show_merge(cast, shared)
        await _settle(cast, disputed)
        await _finale(cast, disputed)


async def _tasks_arrive(cast: Cast) -> None:
    """The supervisor sends each inspector a task; it arrives before anything else."""
    due = _now() + timedelta(hours=8)
    for user, device in (("li.na", cast.li), ("wang.wei", cast.wang)):
        (place, *_) = await device.find(Component, limit=1)
        await cast.chief.create(
            PatrolTask(
                subject=f"{place.name or place.code} 周边巡查",
                grid=place.grid,
                assignee=user,
                place=place.place,
                due_at=due,
                checklist=CHECKLIST,
            )
        )
    await cast.chief.sync()
    for device in (cast.li, cast.wang):
        await device.sync()
    show.say(
        (
            "陈洁给每位网格员派了一项带检查清单的任务，两台设备都已收到。",
            "Chen Jie assigned a task with a checklist to each inspector; both devices have it.",
        )
    )


async def _choose(cast: Cast) -> tuple[Component, Component, Component]:
    """Two components both inspectors have, and one in the street that 王伟 is about to lose."""
    shared, disputed = (await cast.li.find(Component, condition="good", limit=2))[:2]
    across = [one for one in await cast.wang.find(Component) if one.grid.startswith(NEXT_STREET)]
    return shared, disputed, across[0]


async def _work_offline(device: Device) -> None:
    """One inspector's day: shift, track, task with checklist, findings."""
    began, user = time.perf_counter(), device.user or ""
    (task,) = await device.find(PatrolTask, assignee=user)
    start = task.place or Position(0, 0)
    shift = await device.create(PatrolShift(inspector=user, grid=STREET, starts_at=_now()))
    await device.update(shift, state="on_duty", punches=[Punch("in", _now(), start)])
    await _walk(device, shift, start)
    await device.update(task, state="started")
    answers = [ChecklistAnswer(item.key, "ok" if item.key != "rubbish" else "fault", _now()) for item in CHECKLIST]
    await device.update(task, answers=answers)
    near = await device.find(Component, near=start, within_m=300, limit=3)
    for component in near:
        await device.create(
            Finding(
                kind="0102",
                grid=component.grid,
                text=f"{component.name or component.code} 旁有暴露垃圾",
                place=component.place,
                component=component.id,
                task=task.id,
                reported_at=_now(),
            )
        )
    await device.update(task, state="finished")
    await device.update(shift, state="ended", punches=[Punch("out", _now(), start)])
    spent = time.perf_counter() - began
    zh, en = NAMES[user]
    show.say(
        (
            f"{zh}记录了 {TRACK_POINTS} 个轨迹点，答完 {len(answers)} 项检查，上报 {len(near)} 个问题，"
            f"都在设备上，用时 {spent:.2f} 秒。",
            f"{en} walked {TRACK_POINTS} track points, answered {len(answers)} checklist items and reported "
            f"{len(near)} findings, all on the device, in {spent:.2f} s.",
        )
    )


async def _walk(device: Device, shift: PatrolShift, start: Position) -> None:
    lon, lat = start.wgs84()
    track = await device.create(Track(grid=STREET, shift=shift.id))
    began_ms = int(_now().timestamp() * 1000)
    async with TrackRecorder(device, track) as recorder:
        for step in range(TRACK_POINTS):
            turn = step / 40
            point = TrackPoint(
                lon + 6e-5 * math.cos(turn) * turn, lat + 6e-5 * math.sin(turn) * turn, began_ms + 5_000 * step, 4.0
            )
            await recorder.add(point)


async def _show_outboxes(cast: Cast) -> None:
    rows = []
    for name, device in cast:
        pending = await device.pending()
        kinds = Counter(LABELS[change.type] for change in pending)
        rows.append(
            (
                name,
                len(pending),
                (
                    "，".join(f"{kind.zh} {count}" for kind, count in kinds.items()),
                    ", ".join(f"{kind.en} {count}" for kind, count in kinds.items()),
                ),
            )
        )
    columns = (("设备", "device of"), ("未发", "unsent"), ("更改", "changes"))
    show.table(columns, rows, ("设备上等待发送的更改", "What waits on the devices"))


async def _evening(stage: Stage, cast: Cast) -> None:
    show.scene(("傍晚：服务器恢复，各自同步", "Evening: the server is back, everyone syncs"))
    await stage.start_server()
    rows = []
    for name, device in cast:
        report = await device.sync()
        received, _, seconds = cost(report)
        verdicts = [report.verdicts.get(kind, 0) for kind in show.OUTCOMES]
        rows.append((name, report.pushed, *verdicts, report.pulled, received, seconds))
    for _, device in cast:
        await device.sync()
    columns = (("设备", "device of"), ("发送", "sent"), *(words for words, _ in show.OUTCOMES.values()))
    show.table((*columns, ("记录", "records"), ("接收", "received"), ("用时", "time")), rows)


async def _show_merge(cast: Cast, seen: Component) -> None:
    show.scene(("同一部件的不同字段：两边都保留", "Different fields of one component: both kept"))
    now = await cast.chief.get(Component, seen.id) or seen
    rows = [
        (field_words(Component, name), *cells)
        for name, cells in {
            "remark": (seen.remark or "–", "盖板有裂纹，已设警示", "", now.remark or ""),
            "material": (seen.material or "–", "", "球墨铸铁", now.material or ""),
            "tags": (", ".join(seen.tags) or "–", "+ crack", "+ night", ", ".join(now.tags)),
            "inspections": (str(seen.inspections), "+1", "+1", str(now.inspections)),
        }.items()
    ]
    columns = (("字段", "field"), ("原值", "before"), NAMES["li.na"], NAMES["wang.wei"])
    show.table((*columns, ("所有设备上", "on all devices")), rows, seen.name or seen.code)


async def _settle(cast: Cast, disputed: Component) -> None:
    show.scene(
        (
            "同一字段由人裁定；没有授权的更改退回而不丢失",
            "The same field: a person decides. Not permitted: refused, kept",
        )
    )
    (conflict,) = await cast.chief.conflicts()
    rows = [
        (field_words(Component, row.field), row.base, row.standing, row.offered, NAMES[conflict.offered_by])
        for row in conflict.differences
    ]
    columns = (("字段", "field"), ("原值", "before"), ("现值", "stands"), ("提出", "offered"), ("提出人", "by"))
    name = disputed.name or disputed.code
    show.table(columns, rows, (f"冲突：{name}", f"Conflict at {name}"))
    await cast.chief.resolve(conflict, {"condition": "damaged"})
    await cast.chief.sync()
    show.say(
        (
            "陈洁裁定：[bold]damaged[/]。裁定和其他更改一样，也是一条更改。",
            "Chen Jie decides: [bold]damaged[/]. The decision is a change like any other.",
        )
    )
    await show_attention(cast.wang)
    for refusal in await cast.wang.refusals():
        await cast.wang.dismiss(refusal)
    for _ in range(2):
        for _, device in cast:
            await device.sync()


async def _finale(cast: Cast, disputed: Component) -> None:
    show.scene(("都属实吗？", "Is it true?"))
    copies = [await _copy(device) for _, device in cast]
    unsent = [len(await device.pending()) for _, device in cast]
    verdicts = [one for _, device in cast for one in await device.verdicts()]
    final = await cast.li.get(Component, disputed.id)
    show.check(
        copies[0] == copies[1] == copies[2],
        (
            f"街道 {STREET} 的三份副本一致：{len(copies[0]):,} 条记录",
            f"all three copies of {STREET} agree: {len(copies[0]):,} records",
        ),
    )
    show.check(unsent == [0, 0, 0], ("没有未发送的更改", "nothing is left unsent"))
    show.check(
        all(one.outcome for one in verdicts),
        (f"{len(verdicts)} 条更改，条条有结论", f"{len(verdicts)} changes, each with its verdict"),
    )
    show.check(
        final is not None and final.condition == "damaged",
        ("主管的裁定已到网格员手机上", "the supervisor's decision stands on the inspector's phone"),
    )
    show.check(not await cast.chief.conflicts(), ("没有未决的冲突", "no conflict is open"))
    show.check(not await cast.wang.refusals(), ("没有未处理的退回", "no refusal is open"))


async def _copy(device: Device) -> dict[str, bytes]:
    """What a device holds of the shared street, by record id."""
    held: dict[str, bytes] = {}
    for cls in SHARED_TYPES:
        grid = "code" if cls is UnitGrid else "grid"
        for record in await device.find(cls):
            if getattr(record, grid).startswith(STREET):
                held[f"{type_of(cls).name} {record.id}"] = msgspec.msgpack.encode(record)
    return held


def _now() -> datetime:
    return datetime.now(UTC)
