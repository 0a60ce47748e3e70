"""Patrol 巡查: tasks with checklists, shifts with punches, and tracks."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec

from field_schemas.access import FIELD_WORKERS, INSPECTION, SUPERVISION, Access, Role
from field_schemas.media import MediaRef
from field_schemas.places import Position
from field_schemas.policies import Policy
from field_schemas.record import Field, Record, record_type
from field_schemas.scopes import OF_OWNER, assigned_to, in_grid, of_person
from field_schemas.track_points import unpack
from field_schemas.types.values import GridPrefix, LongText, ShortText, Time, UserId
from field_schemas.workflow import workflow

TASK_STATES = workflow(
    "assigned",
    ("assigned", "started", INSPECTION),
    ("started", "finished", INSPECTION),
    ("finished", "accepted", SUPERVISION),
    ("finished", "returned", SUPERVISION),
    ("returned", "started", INSPECTION),
    ("assigned", "void", SUPERVISION),
    ("started", "void", SUPERVISION),
)
SHIFT_STATES = workflow(
    "planned",
    ("planned", "on_duty", INSPECTION),
    ("on_duty", "ended", INSPECTION),
    ("planned", "cancelled", SUPERVISION),
)


class ChecklistItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing to look at: its key within the task, and the question in the inspector's words."""

    key: ShortText
    question: ShortText


class ChecklistAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was found for item `item`, when (UTC)."""

    item: ShortText
    result: Literal["ok", "fault", "not_applicable"]
    answered_at: Time
    remark: LongText | None = None
    media: list[MediaRef] = []


class Punch(msgspec.Struct, frozen=True, omit_defaults=True):
    """An attendance punch 打卡: when (UTC) and where."""

    kind: Literal["in", "out", "checkpoint"]
    punched_at: Time
    place: Position | None = None


def _check_segments(segments: list[bytes]) -> None:
    for segment in segments:
        unpack(segment)


@record_type(
    "patrol_task",
    zh="巡查任务",
    en="Patrol task",
    scopes=(in_grid("grid"), assigned_to("assignee")),
    access=Access(read=FIELD_WORKERS, create=SUPERVISION, write=INSPECTION),
    place="place",
    title="subject",
)
class PatrolTask(Record):
    """What an inspector is sent to look at, and what was found."""

    subject: Annotated[ShortText, Field("任务", "Task", write=SUPERVISION, searchable=True)]
    grid: Annotated[GridPrefix, Field("网格", "Grid", write=SUPERVISION)]
    assignee: Annotated[UserId | None, Field("执行人", "Assignee", write=SUPERVISION)] = None
    place: Annotated[Position | None, Field("位置", "Position", write=SUPERVISION)] = None
    due_at: Annotated[Time | None, Field("期限", "Due", write=SUPERVISION)] = None
    checklist: Annotated[list[ChecklistItem], Field("检查清单", "Checklist", write=SUPERVISION)] = []
    answers: Annotated[list[ChecklistAnswer], Field("检查结果", "Answers", Policy.APPEND)] = []
    state: Annotated[str, Field("状态", "State", Policy.WORKFLOW, TASK_STATES)] = "assigned"
    remark: Annotated[LongText | None, Field("备注", "Remark", searchable=True)] = None


@record_type(
    "patrol_shift",
    zh="巡查班次",
    en="Patrol shift",
    scopes=(in_grid("grid"), of_person("inspector")),
    access=Access(read=INSPECTION, create=INSPECTION, write=INSPECTION),
    title="state",
)
class PatrolShift(Record):
    """One inspector's turn of duty in an area."""

    inspector: Annotated[UserId, Field("网格员", "Inspector")]
    grid: Annotated[GridPrefix, Field("网格", "Grid")]
    starts_at: Annotated[Time, Field("开始", "Starts")]
    ends_at: Annotated[Time | None, Field("结束", "Ends")] = None
    state: Annotated[str, Field("状态", "State", Policy.WORKFLOW, SHIFT_STATES)] = "planned"
    punches: Annotated[list[Punch], Field("打卡", "Punches", Policy.APPEND)] = []


@record_type(
    "track",
    zh="巡查轨迹",
    en="Patrol track",
    scopes=(in_grid("grid"), OF_OWNER),
    access=Access(
        read=frozenset({Role.SUPERVISOR, Role.SELF}),
        create=INSPECTION,
        write=frozenset({Role.SELF}),
    ),
)
class Track(Record):
    """Where an inspector walked: packed segments of points (see `field_schemas.track_points`)."""

    grid: Annotated[GridPrefix, Field("网格", "Grid")]
    shift: Annotated[UUID | None, Field("班次", "Shift")] = None
    segments: Annotated[
        list[Annotated[bytes, msgspec.Meta(max_length=200_000)]],
        Field("轨迹段", "Segments", Policy.APPEND, check=_check_segments),
    ] = []
    points: Annotated[int, Field("点数", "Points", Policy.COUNTER)] = 0
    length_m: Annotated[int, Field("长度(米)", "Length (m)", Policy.COUNTER)] = 0
