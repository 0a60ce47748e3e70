"""Finding 问题上报: what someone in the field, or a citizen, reports; and free notes."""

from typing import Annotated, Literal
from uuid import UUID

from field_schemas.access import FIELD_WORKERS, INSPECTION, SUPERVISION, Access, Role
from field_schemas.media import MediaRef
from field_schemas.places import Position
from field_schemas.policies import Policy
from field_schemas.record import Field, Record, record_type
from field_schemas.scopes import OF_OWNER, in_grid
from field_schemas.types.values import ClassCode, GridPrefix, LongText, ShortText, Time
from field_schemas.workflow import workflow

_HANDLERS = frozenset({Role.STEWARD, Role.OFFICER, Role.SUPERVISOR})

FINDING_STATES = workflow(
    "reported",
    ("reported", "withdrawn", INSPECTION),
    ("reported", "rejected", SUPERVISION),
    ("reported", "accepted", SUPERVISION),
    ("accepted", "handled", _HANDLERS),
    ("handled", "closed", INSPECTION),
    ("handled", "accepted", INSPECTION),
)


@record_type(
    "finding",
    zh="问题",
    en="Finding",
    scopes=(in_grid("grid"), OF_OWNER),
    access=Access(read=FIELD_WORKERS, create=FIELD_WORKERS, write=FIELD_WORKERS),
    place="place",
    title="text",
)
class Finding(Record):
    """One thing that is wrong at one place, from report to close."""

    kind: Annotated[ClassCode, Field("事件类别", "Event class")]
    grid: Annotated[GridPrefix, Field("网格", "Grid")]
    text: Annotated[LongText, Field("描述", "Description", Policy.REVIEW, searchable=True)]
    place: Annotated[Position | None, Field("位置", "Position")] = None
    address: Annotated[ShortText | None, Field("地址", "Address", searchable=True)] = None
    component: Annotated[UUID | None, Field("部件", "Component")] = None
    task: Annotated[UUID | None, Field("任务", "Task")] = None
    state: Annotated[str, Field("状态", "State", Policy.WORKFLOW, FINDING_STATES)] = "reported"
    priority: Annotated[Literal["low", "standard", "urgent"], Field("优先级", "Priority")] = "standard"
    reported_at: Annotated[Time | None, Field("上报时间", "Reported", Policy.MINIMUM)] = None
    due_at: Annotated[Time | None, Field("期限", "Due", write=SUPERVISION)] = None
    resolved_at: Annotated[Time | None, Field("解决时间", "Resolved")] = None
    reference: Annotated[ShortText | None, Field("外部编号", "Reference", Policy.FIRST_WRITER, searchable=True)] = (
        None
    )
    contact: Annotated[ShortText | None, Field("联系方式", "Contact", read=SUPERVISION)] = None
    media: Annotated[list[MediaRef], Field("照片与视频", "Photos and videos", Policy.APPEND)] = []


@record_type(
    "note",
    zh="备注",
    en="Note",
    scopes=(in_grid("grid"), OF_OWNER),
    access=Access(
        read=FIELD_WORKERS,
        create=FIELD_WORKERS,
        write=frozenset({Role.SELF}),
        delete=frozenset({Role.SELF, Role.SUPERVISOR}),
    ),
    place="place",
    title="text",
)
class Note(Record):
    """A remark by one person, perhaps about another record."""

    grid: Annotated[GridPrefix, Field("网格", "Grid")]
    text: Annotated[LongText, Field("内容", "Text", searchable=True)]
    about: Annotated[UUID | None, Field("关于", "About")] = None
    place: Annotated[Position | None, Field("位置", "Position")] = None
    media: Annotated[list[MediaRef], Field("照片与视频", "Photos and videos", Policy.APPEND)] = []
