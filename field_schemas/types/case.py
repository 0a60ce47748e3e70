"""Case 案件: a matter on its way through the seven steps, and what its participants write in it."""

from typing import Annotated
from uuid import UUID

from field_schemas.access import FIELD_WORKERS, INSPECTION, SUPERVISION, Access, Role
from field_schemas.places import Position
from field_schemas.policies import Policy
from field_schemas.record import Field, Record, record_type
from field_schemas.scopes import OF_OWNER, in_dept, in_grid, of_case
from field_schemas.types.values import ClassCode, GridPrefix, LongText, ScopeKey, ShortText, Time
from field_schemas.workflow import workflow

_HANDLERS = frozenset({Role.STEWARD, Role.OFFICER, Role.RESPONDER, Role.SUPERVISOR})
_PARTICIPANTS = FIELD_WORKERS | {Role.RESPONDER}

CASE_STATES = workflow(
    "collected",
    ("collected", "verifying", SUPERVISION),  # 核实
    ("verifying", "collected", INSPECTION),
    ("collected", "filed", SUPERVISION),  # 案件建立
    ("filed", "dispatched", SUPERVISION),  # 任务派遣
    ("dispatched", "filed", _HANDLERS),  # 回退
    ("dispatched", "handling", _HANDLERS),  # 任务处理
    ("handling", "fed_back", _HANDLERS),  # 处理反馈
    ("handling", "shelved", SUPERVISION),  # 挂账
    ("shelved", "handling", SUPERVISION),
    ("fed_back", "handling", INSPECTION),  # 返工
    ("fed_back", "closed", INSPECTION),  # 核查结案
    ("closed", "handling", SUPERVISION),  # 重办
    ("closed", "evaluated", SUPERVISION),  # 综合评价
    ("collected", "void", SUPERVISION),  # 作废
    ("verifying", "void", SUPERVISION),
    ("filed", "void", SUPERVISION),
)


@record_type(
    "case",
    zh="案件",
    en="Case",
    scopes=(in_grid("grid"), in_dept("department"), of_case("number")),
    access=Access(read=_PARTICIPANTS, create=FIELD_WORKERS, write=_PARTICIPANTS),
    place="place",
    title="subject",
)
class Case(Record):
    """One matter from collection to evaluation. Who takes part in it has a grant on its number."""

    number: Annotated[ScopeKey, Field("案件编号", "Case number", Policy.FIRST_WRITER, searchable=True)]
    subject: Annotated[ShortText, Field("案由", "Subject", searchable=True)]
    kind: Annotated[ClassCode, Field("事项类别", "Matter class")]
    grid: Annotated[GridPrefix, Field("网格", "Grid", write=INSPECTION)]
    department: Annotated[ScopeKey | None, Field("处置部门", "Handling department", write=SUPERVISION)] = None
    text: Annotated[LongText, Field("描述", "Description", Policy.REVIEW, searchable=True)] = ""
    place: Annotated[Position | None, Field("位置", "Position")] = None
    finding: Annotated[UUID | None, Field("来源问题", "Finding it came from")] = None
    state: Annotated[str, Field("状态", "State", Policy.WORKFLOW, CASE_STATES)] = "collected"
    reason: Annotated[LongText | None, Field("回退、挂账或作废原因", "Why sent back, shelved or voided")] = None
    filed_at: Annotated[Time | None, Field("立案时间", "Filed", Policy.MINIMUM)] = None
    due_at: Annotated[Time | None, Field("期限", "Due", write=SUPERVISION)] = None


@record_type(
    "case_note",
    zh="案件记录",
    en="Case note",
    scopes=(of_case("case"), OF_OWNER),
    access=Access(
        read=_PARTICIPANTS,
        create=_PARTICIPANTS,
        write=frozenset({Role.SELF}),
        delete=frozenset({Role.SELF, Role.SUPERVISOR}),
    ),
    title="text",
)
class CaseNote(Record):
    """What a participant adds to a case; for the case's participants only."""

    case: Annotated[ScopeKey, Field("案件编号", "Case number", Policy.FIRST_WRITER)]
    text: Annotated[LongText, Field("内容", "Text", Policy.REVIEW, searchable=True)]
    noted_at: Annotated[Time | None, Field("记录时间", "Noted")] = None
