"""Scene `patrol`: a field day, offline, end to end."""

import math
import time
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import msgspec

from client_sdk import Device, TrackRecorder
from client_sdk.demo import show
from client_sdk.demo.city import NEXT_STREET, STREET, Cast, cost, gather
from client_sdk.demo.stage import Stage
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


async def play(stage: Stage) -> bool:
    """Play the scene; whether everything it claims turned out true."""
    async with AsyncExitStack() as devices:
        show.scene("Morning: each device signs in once and fetches its area")
        cast = await gather(stage, devices)
        await _tasks_arrive(cast)
        await stage.stop_server()
        show.scene("The network is gone, the server process too")
        shared, disputed, forbidden = await _choose(cast)
        await _work_offline(cast.li, "li.na", "李娜")
        await _work_offline(cast.wang, "wang.wei", "王伟")
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
        return await _finale(cast, disputed)


async def _tasks_arrive(cast: Cast) -> None:
    """The supervisor sends each inspector a task; it arrives before anything else."""
    due = _now() + timedelta(hours=8)
    for user, device in (("li.na", cast.li), ("wang.wei", cast.wang)):
        (place, *_) = await device.find(Component, limit=1)
        await cast.chen.create(
            PatrolTask(
                subject=f"{place.name or place.code} 周边巡查",
                grid=place.grid,
                assignee=user,
                place=place.place,
                due_at=due,
                checklist=CHECKLIST,
            )
        )
    await cast.chen.sync()
    for device in (cast.li, cast.wang):
        await device.sync()
    show.say("陈洁 assigned a task with a checklist to each inspector; both devices have it.")


async def _choose(cast: Cast) -> tuple[Component, Component, Component]:
    """Two components both inspectors have, and one in the street that 王伟 is about to lose."""
    shared, disputed = (await cast.li.find(Component, condition="good", limit=2))[:2]
    across = [one for one in await cast.wang.find(Component) if one.grid.startswith(NEXT_STREET)]
    return shared, disputed, across[0]


async def _work_offline(device: Device, user: str, name: str) -> None:
    """One inspector's day: shift, track, task with checklist, findings."""
    began = time.perf_counter()
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
    show.say(
        f"{name} walked {TRACK_POINTS} track points, answered {len(answers)} checklist items and reported "
        f"{len(near)} findings, all on the device, in {spent:.2f} s."
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
        kinds = Counter(change.type for change in pending)
        rows.append((name, len(pending), ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))))
    show.table(("device", "unsent", "changes"), rows, "What waits on the devices")


async def _evening(stage: Stage, cast: Cast) -> None:
    show.scene("Evening: the server is back, everyone syncs")
    await stage.start_server()
    rows = []
    for name, device in cast:
        report = await device.sync()
        verdicts = [report.verdicts.get(kind, 0) for kind in ("applied", "merged", "conflict", "refused")]
        rows.append((name, report.pushed, *verdicts, report.pulled, *cost(report)))
    for _, device in cast:
        await device.sync()
    show.table(
        ("device", "sent", "applied", "merged", "conflict", "refused", "records", "received", "requests", "time"),
        rows,
    )


async def _show_merge(cast: Cast, seen: Component) -> None:
    show.scene("Different fields of one component: both kept")
    now = await cast.chen.get(Component, seen.id) or seen
    rows = [
        ("remark", seen.remark or "–", "盖板有裂纹，已设警示", "", now.remark or ""),
        ("material", seen.material or "–", "", "球墨铸铁", now.material or ""),
        ("tags", ", ".join(seen.tags) or "–", "+ crack", "+ night", ", ".join(now.tags)),
        ("inspections", str(seen.inspections), "+ 1", "+ 1", str(now.inspections)),
    ]
    show.table(("field", "before", "李娜", "王伟", "on all devices"), rows, f"{seen.name or seen.code}")


async def _settle(cast: Cast, disputed: Component) -> None:
    show.scene("The same field: a person decides; a change without a grant: refused, not lost")
    (conflict,) = await cast.chen.conflicts()
    rows = [(row.field, row.base, row.standing, row.offered, conflict.offered_by) for row in conflict.differences]
    show.table(("field", "before", "stands", "offered", "by"), rows, f"Conflict at {disputed.name or disputed.code}")
    await cast.chen.resolve(conflict, {"condition": "damaged"})
    await cast.chen.sync()
    show.say("陈洁 decides: [bold]damaged[/]. The decision is a change like any other.")
    attention = await cast.wang.needs_attention("zh")
    show.table(("what", "why", "what to do"), [(a.title, a.reason, a.advice) for a in attention], "On 王伟's phone")
    for refusal in await cast.wang.refusals():
        await cast.wang.dismiss(refusal)
    for _, device in cast:
        await device.sync()
    for _, device in cast:
        await device.sync()


async def _finale(cast: Cast, disputed: Component) -> bool:
    show.scene("Is it true?")
    copies = [await _copy(device) for _, device in cast]
    unsent = [len(await device.pending()) for _, device in cast]
    verdicts = [await device.verdicts() for _, device in cast]
    final = await cast.li.get(Component, disputed.id)
    checks = [
        show.check(
            copies[0] == copies[1] == copies[2], f"all three copies of {STREET} agree: {len(copies[0]):,} records"
        ),
        show.check(unsent == [0, 0, 0], "nothing is left unsent"),
        show.check(
            all(v.outcome for own in verdicts for v in own),
            f"{sum(map(len, verdicts))} changes, each with its verdict",
        ),
        show.check(
            final is not None and final.condition == "damaged",
            "the supervisor's decision stands on the inspector's phone",
        ),
        show.check(not await cast.chen.conflicts(), "no conflict is open"),
        show.check(not await cast.wang.refusals(), "no refusal is open"),
    ]
    return all(checks)


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
